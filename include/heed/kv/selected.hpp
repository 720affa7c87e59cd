// SPDX-License-Identifier: BSL-1.0
// The listed tokens, or pages of tokens, of another source: what decoding over a selection reads.
//
//   const block_selection chosen = select_quest({.page = 16, .top = 256}, q, bounds, cache);
//   attend(attention{.mask = causal{}}, q, selected_source(cache, chosen.lists()), out);
//
// Tokens keep their positions, so masks, scores and rotations mean what they mean for all tokens.
// There is one list for each sequence and kv head, or for all of them where `batch` or `heads` of
// the lists is 1; its blocks are `keys` tokens each, the last of a sequence what is left. All heads
// of a sequence must list equally many tokens. Refers to the source, which must stay as it is.
#pragma once

#include <heed/kv/source.hpp>
#include <heed/plan/block_lists.hpp>
#include <string>
#include <vector>

namespace heed {

template <kv_source Source> class selected_source {
 public:
  // Throws as check() does. O(listed tokens).
  selected_source(const Source& source, const block_lists& lists)
      : source_(&source), lists_(lists) {
    seen_.resize(at(batch())), lengths_.resize(at(batch()));
    for (index b = 0; b < batch(); ++b) seen_[at(b)] = source.length(b);
    check();
    for (index b = 0; b < batch(); ++b) {
      lengths_[at(b)] = heads() > 0 ? tokens(b, 0) : 0;
      longest_ = std::max(longest_, length(b));
    }
    places_.resize(at(batch() * heads() * longest_));
    for (index b = 0; b < batch(); ++b)
      for (index h = 0; h < heads(); ++h) place(b, h);
  }

  index batch() const { return source_->batch(); }
  index heads() const { return source_->heads(); }
  index depth() const { return source_->depth(); }
  index value_depth() const { return source_->value_depth(); }
  index length(index b) const { return lengths_[at(b)]; }
  index end(index b) const { return source_->end(b); }
  const index* places(index b, index h) const {
    return places_.data() + (b * heads() + h) * longest_;
  }
  // Blocks that follow one another in the source are one run as far as the source's goes.
  kv_run run(index b, index h, index t) const {
    const std::span<const int> blocks = list(b, h);
    std::size_t n = at(t / lists_.keys);
    kv_run run = source_->run(b, h, blocks[n] * lists_.keys + t % lists_.keys);
    index count = lists_.keys - t % lists_.keys;
    for (; count < run.count && n + 1 < blocks.size() && blocks[n + 1] == blocks[n] + 1; ++n)
      count += lists_.keys;
    run.count = std::min(run.count, count);
    return run;
  }

  // Throws std::invalid_argument, naming the first offender, on lists that do not fit the source
  // and where the source has other lengths than when it was given; and what that says of its own.
  void check() const {
    detail::check_source(*source_);
    constexpr const char* name = "heed::selected_source";
    const block_lists& x = lists_;
    const auto want = [&](bool holds, const char* rule, index is) {
      if (!holds) check::fail(name, std::string(rule) + ": " + std::to_string(is));
    };
    want(x.keys >= 1, "keys of a block must be at least 1", x.keys);
    want(x.batch == 1 || x.batch == batch(), "lists must be for 1 sequence or for each", x.batch);
    want(x.heads == 1 || x.heads == heads(), "lists must be for 1 kv head or for each", x.heads);
    want(x.count() == x.batch * x.heads, "there must be a list for each sequence and kv head",
         x.count());
    const index start = x.offsets.empty() ? 0 : x.offsets.front();
    want(start == 0, "offsets must start at 0", start);
    for (index i = 0; i < x.count(); ++i)
      want(x.offsets[at(i)] <= x.offsets[at(i + 1)] &&
               x.offsets[at(i + 1)] <= index(x.blocks.size()),
           "offsets must not decrease or pass the number of blocks, first broken at list", i);
    for (index b = 0; b < batch(); ++b) {
      want(source_->length(b) == seen_[at(b)], "the source has changed since, first in sequence",
           b);
      for (index h = 0; h < heads(); ++h) {
        index before = -1;
        for (const int block : list(b, h)) {
          if (block <= before || block >= block_count(seen_[at(b)], x.keys))
            check::fail(name, "list of " + head_name(b, h) +
                                  " must ascend without repeats within " +
                                  std::to_string(seen_[at(b)]) + " tokens: block " +
                                  std::to_string(block) + " after " + std::to_string(before));
          before = block;
        }
        if (tokens(b, h) != tokens(b, 0))
          check::fail(name, "heads of a sequence must list equally many tokens: " +
                                head_name(b, h) + " lists " + std::to_string(tokens(b, h)) +
                                ", head 0 " + std::to_string(tokens(b, 0)));
      }
    }
  }

 private:
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }
  static std::string head_name(index b, index h) {
    return "sequence " + std::to_string(b) + " head " + std::to_string(h);
  }
  std::span<const int> list(index b, index h) const {
    return lists_.list((lists_.batch == 1 ? 0 : b) * lists_.heads + (lists_.heads == 1 ? 0 : h));
  }
  // Only the last block may be short, and it ends the list.
  index tokens(index b, index h) const {
    const std::span<const int> blocks = list(b, h);
    if (blocks.empty()) return 0;
    const index last = seen_[at(b)] - blocks.back() * lists_.keys;
    return (index(blocks.size()) - 1) * lists_.keys + std::min(last, lists_.keys);
  }
  void place(index b, index h) {
    const index *const known = original(b, h), first = source_->end(b) - seen_[at(b)];
    index* to = places_.data() + (b * heads() + h) * longest_;
    for (const int block : list(b, h)) {
      const index begin = block * lists_.keys,
                  end = begin + std::min(lists_.keys, seen_[at(b)] - begin);
      for (index t = begin; t < end; ++t) *to++ = known ? known[t] : first + t;
    }
  }
  const index* original(index b, index h) const {
    if constexpr (requires { source_->places(b, h); })
      return source_->places(b, h);
    else
      return nullptr;
  }

  const Source* source_;
  block_lists lists_;
  index longest_ = 0;
  std::vector<index> seen_, lengths_;  // tokens of the source and of the lists
  std::vector<index> places_;          // [B, Hkv, longest]
};

}  // namespace heed
