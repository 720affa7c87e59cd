// SPDX-License-Identifier: BSL-1.0
// select/partial_dims: tokens chosen by a few channels of the keys (FASA).
//
//   dominant_channels few(lists);                          // [Hkv, n]: which channels, by kv head
//   few.update(cache);                                     // after every append
//   const block_selection chosen = select_partial_dims(256, q, few, cache);
//   attend(attention{.mask = causal{}}, q, selected_source(cache, chosen.lists()), out);
//
//   S_j = Σ_{c in I} q_c k_jc, summed over the query rows and heads that read the kv head
//
// Each kv head takes the `top` tokens with the largest S, the newest always one of them; ties go to
// the older token, NaN counts as the least. q and the keys are as the products see them (rotated).
// The channels of all tokens are kept side by side, so a step reads n floats a token and no key.
// FASA, Wang et al. 2026.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/kv/format.hpp>
#include <heed/kv/load.hpp>
#include <heed/kv/source.hpp>
#include <heed/plan/block_lists.hpp>
#include <heed/select/data.hpp>
#include <heed/select/token_scores.hpp>
#include <heed/select/top_k.hpp>

namespace heed {

class dominant_channels {
 public:
  // Ascending channels of each kv head, equally many a head.
  explicit dominant_channels(std::span<const std::vector<int>> lists)
      : lists_(lists.begin(), lists.end()) {
    for (std::size_t h = 0; h < lists_.size(); ++h) {
      if (lists_[h].size() != lists_[0].size() || lists_[h].empty())
        check::fail("heed::dominant_channels",
                    "every kv head must have equally many channels, first broken at head " +
                        std::to_string(h));
      for (std::size_t i = 0; i < lists_[h].size(); ++i)
        if (lists_[h][i] < 0 || (i > 0 && lists_[h][i] <= lists_[h][i - 1]))
          check::fail("heed::dominant_channels",
                      "channels must ascend from 0 on, first broken at head " + std::to_string(h));
    }
  }

  index heads() const { return index(lists_.size()); }
  index count() const { return lists_.empty() ? 0 : index(lists_[0].size()); }
  std::span<const int> channels(index h) const { return lists_[at(h)]; }
  index length(index b) const { return b < index(seen_.size()) ? seen_[at(b)] : 0; }
  // [length, count]
  const float* rows(index b, index h) const { return rows_[at(b * heads() + h)].data(); }

  // Looks at the tokens appended since the last call, and again at the last kv_block of them, whose
  // codes change when their block fills. O(new). A source that was cut, or has lost tokens, needs a
  // new object.
  template <kv_source Source> void update(const Source& source, const executor_ref& executor = {}) {
    detail::check_source(source);
    update_from(source, executor);
  }

 private:
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }

  HEED_NOINLINE void update_from(const kv_ref& source, const executor_ref& executor) {
    const index depth = source.depth();
    if (source.heads() != heads() || (!seen_.empty() && index(seen_.size()) != source.batch()))
      check::fail("heed::dominant_channels::update",
                  "the source must have " + std::to_string(heads()) + " heads and its batch: " +
                      check::print({source.batch(), source.heads(), depth, 0}));
    for (index h = 0; h < heads(); ++h)
      if (lists_[at(h)].back() >= depth)
        check::fail("heed::dominant_channels::update",
                    "there is no channel " + std::to_string(lists_[at(h)].back()) + " of " +
                        std::to_string(depth) + ", head " + std::to_string(h));
    seen_.resize(at(source.batch()), 0), rows_.resize(at(source.batch() * heads()));
    std::vector<float> memory(at(executor.workers() * depth));
    executor.for_each(source.batch() * heads(), [&](index i, index worker) {
      const index b = i / heads(), h = i % heads(), length = source.length(b);
      const index first = std::min(length, seen_[at(b)]) / kv_block * kv_block;
      float* const row = memory.data() + worker * depth;
      rows_[at(i)].resize(at(length * count()));
      for_each_run(source, b, h, {first, length}, [&](const kv_run& run, index token) {
        for (index n = 0; n < run.count; ++n, ++token) {
          load_stored(run.k, n, depth, row);
          float* to = rows_[at(i)].data() + token * count();
          for (const int c : lists_[at(h)]) *to++ = row[c];
        }
      });
    });
    for (index b = 0; b < source.batch(); ++b) seen_[at(b)] = source.length(b);
  }

  std::vector<std::vector<int>> lists_;
  std::vector<index> seen_;
  std::vector<std::vector<float>> rows_;  // [B, Hkv]
};

namespace detail {

template <class Arch>
HEED_NOINLINE block_selection select_partial_dims(index top, const operand& q,
                                                  const dominant_channels& few,
                                                  const kv_ref& source,
                                                  const executor_ref& executor) {
  const auto fail = [&](const std::string& rule) {
    check::fail("heed::select_partial_dims", rule, {{"q", q}});
  };
  const index heads = source.heads(), queries = q.extent[2], depth = q.extent[3],
              count = few.count();
  if (top < 1) fail("top must be positive: " + std::to_string(top));
  if (few.heads() != heads) fail("channels must be those of the source's heads");
  if (q.extent[0] != source.batch() || depth != source.depth())
    fail("q must have the batch and channels of the source");
  if (heads == 0 ? q.extent[1] != 0 : q.extent[1] % heads != 0)
    fail("query heads must be a multiple of kv heads " + std::to_string(heads));
  for (index h = 0; h < heads; ++h)
    if (few.channels(h).back() >= depth)
      fail("there is no channel " + std::to_string(few.channels(h).back()) + " of head " +
           std::to_string(h));
  check_data("heed::select_partial_dims", {{"q", q}});
  for (index b = 0; b < source.batch(); ++b)
    if (few.length(b) != source.length(b))
      fail("channels must be updated: sequence " + std::to_string(b) + " has " +
           std::to_string(source.length(b)) + " tokens, they " + std::to_string(few.length(b)));
  const index group = heads > 0 ? q.extent[1] / heads : 1, longest = source.longest();
  block_selection to{.batch = source.batch(),
                     .heads = heads,
                     .group = group,
                     .rows = std::max<index>(1, queries),
                     .keys = 1};
  for (index i = 0; i < to.batch * heads; ++i)
    to.offsets.push_back(to.offsets.back() + std::min(top, source.length(i / heads)));
  to.blocks.resize(static_cast<std::size_t>(to.offsets.back()));
  const index each = depth + count + 2 * longest;
  std::vector<float> memory(static_cast<std::size_t>(executor.workers() * each));
  executor.for_each(to.batch * heads, [&](index i, index worker) {
    const index b = i / heads, h = i % heads, length = source.length(b);
    if (length == 0) return;
    float* const row = memory.data() + worker * each;
    float *const part = row + depth, *const scores = part + count,
                 *const scratch = scores + longest;
    std::fill_n(part, count, 0.f);
    for (index r = 0; r < group * queries; ++r) {
      simd::load_row(q.type, q.row(b, h * group + r / queries, r % queries), q.stride[3], depth,
                     row);
      for (index n = 0; n < count; ++n)
        part[n] += row[few.channels(h)[static_cast<std::size_t>(n)]];
    }
    token_scores<Arch>(part, 1, few.rows(b, h), length, count, scores);
    constexpr float lowest = std::numeric_limits<float>::lowest();
    for (index j = 0; j < length; ++j) scores[j] = scores[j] > lowest ? scores[j] : lowest;
    int* const chosen = to.blocks.data() + to.offsets[static_cast<std::size_t>(i)];
    const index taken = std::min(top, length);
    top_k(scores, length - 1, taken - 1, chosen, scratch);
    chosen[taken - 1] = static_cast<int>(length - 1);
  });
  return to;
}

}  // namespace detail

// A list of tokens for every sequence and kv head: what selected_source reads. q [B,H,Lq,D].
// O(tokens · channels) for each list. Throws std::invalid_argument if q, channels and source do not
// fit each other, or the channels were not updated.
template <class Arch = simd::best, storable Q, kv_source Source>
block_selection select_partial_dims(index top, const view<Q>& q, const dominant_channels& few,
                                    const Source& source, const executor_ref& executor = {}) {
  return detail::select_partial_dims<Arch>(top, view<const Q>(q), few, source, executor);
}

}  // namespace heed
