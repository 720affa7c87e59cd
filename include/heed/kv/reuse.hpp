// SPDX-License-Identifier: BSL-1.0
// kv/reuse: steps of decoding that attend to the tokens which an earlier step found heavy (Recycled
// Attention; over layers HyLRA).
//
//   recycled_tokens heavy({.top = 1024, .every = 10});
//   each step: cache.append(k, v); heavy.append(cache);
//     if (heavy.full(q)) {                                   // weights [B,H,1,Lk]
//       rows last(newest, weights);                          // observe/rows
//       attend(spec, q, cache, {.out = out, .observe = &last});
//       heavy.record(q, weights, cache);
//     } else {
//       attend(spec, q, selected_source(cache, heavy.lists()), out);
//     }
//
// A full step keeps for each kv head the `top` tokens with the largest weights, summed over its
// query heads; ties go to the older token, NaN is less than any number. Tokens that come later
// join, and the lightest of those recorded leaves for each. Every `every`-th step is full, and one
// whose q turned away from that of the last full step: the cosine of some head below `cosine`.
// Layers that reuse the lists of another are given `lists()` with a cache of their own.
//
// Throws std::invalid_argument, before anything is changed, where operands do not fit each other or
// the source. `record` is O(H · N), `append` O(top) a kv head and new token.
// Recycled Attention, Xu et al. 2024.
#pragma once

#include <cmath>
#include <heed/core/storage.hpp>
#include <heed/kv/source.hpp>
#include <heed/plan/block_lists.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/pack.hpp>

namespace heed {

struct recycling {
  index top = 1024;
  index every = 10;
  double cosine = -2;  // below -1: never
};

class recycled_tokens {
 public:
  explicit recycled_tokens(const recycling& how) : how_(how) {
    if (how.top < 1 || how.every < 1)
      check::fail("heed::recycled_tokens",
                  "top and every must be positive: " + std::to_string(how.top) + " and " +
                      std::to_string(how.every));
  }

  // Whether the next step should see everything. q [B,H,1,D].
  template <storable Q> bool full(const view<Q>& q) const {
    check_query(q);
    if (since_ == 0 || since_ > how_.every) return true;
    const std::vector<float> now = values(q);
    if (now.size() != last_.size()) return true;
    const auto depth = static_cast<std::size_t>(q.extent[3]);
    for (std::size_t row = 0; row < now.size(); row += depth) {
      double dot = 0, a = 0, b = 0;
      for (std::size_t c = row; c < row + depth; ++c)
        dot += double(now[c]) * last_[c], a += double(now[c]) * now[c],
            b += double(last_[c]) * last_[c];
      if (dot < how_.cosine * std::sqrt(a * b)) return true;
    }
    return false;
  }

  // After a full step: what its newest query weighed, [B,H,1,Lk].
  template <storable Q, storable W, kv_source Source>
  void record(const view<Q>& q, const view<W>& weights, const Source& source) {
    check_query(q);
    const index batch = source.batch(), heads = source.heads(),
                group = heads > 0 ? q.extent[1] / heads : 0;
    if (q.extent[0] != batch || q.extent[1] != group * heads || q.extent[2] != 1 ||
        weights.extent[0] != batch || weights.extent[1] != q.extent[1] || weights.extent[2] != 1)
      check::fail("heed::recycled_tokens", "q must be [B,H,1,D] and the weights [B,H,1,Lk]",
                  {{"q", operand(view<const Q>(q))}, {"weights", operand(view<const W>(weights))}});
    const index longest = kv_ref(source).longest();
    if (longest > weights.extent[3])
      check::fail("heed::recycled_tokens", "there are weights of " +
                                               std::to_string(weights.extent[3]) + " of the " +
                                               std::to_string(longest) + " tokens");
    if (!weights.data && batch * heads * group * longest > 0)
      check::fail("heed::recycled_tokens", "the weights must not be null");
    batch_ = batch, heads_ = heads, group_ = group;
    kept_.assign(at(batch * heads), {});
    seen_.resize(at(batch));
    std::vector<float> sum, scratch;
    std::vector<int> chosen(at(std::min(how_.top, longest)));
    for (index i = 0; i < batch * heads; ++i) {
      const index b = i / heads, h = i % heads, length = source.length(b);
      sum.assign(at(length), 0.f), scratch.resize(at(length));
      for (index g = 0; g < group; ++g)
        for (index j = 0; j < length; ++j)
          sum[at(j)] += static_cast<float>(weights(b, h * group + g, 0, j));
      constexpr float lowest = std::numeric_limits<float>::lowest();
      for (float& x : sum) x = x > lowest ? x : lowest;
      const index count = top_k(sum.data(), length, how_.top, chosen.data(), scratch.data());
      for (index n = 0; n < count; ++n)
        kept_[at(i)].push_back({chosen[at(n)], sum[at(chosen[at(n)])]});
      seen_[at(b)] = length;
    }
    last_ = values(q);
    since_ = 1;
    flatten();
  }

  // After tokens were appended to the source: they join, the lightest leave.
  template <kv_source Source> void append(const Source& source) {
    if (since_ == 0) return;
    if (source.batch() != batch_ || source.heads() != heads_)
      check::fail("heed::recycled_tokens", "the source must be like that of the last full step");
    for (index i = 0; i < batch_ * heads_; ++i)
      for (index j = seen_[at(i / heads_)]; j < source.length(i / heads_); ++j) {
        auto& kept = kept_[at(i)];
        kept.push_back({static_cast<int>(j), std::numeric_limits<float>::infinity()});
        if (index(kept.size()) > how_.top)
          kept.erase(std::min_element(kept.begin(), kept.end(), [](const token& a, const token& b) {
            return a.weight < b.weight;
          }));
      }
    for (index b = 0; b < batch_; ++b) seen_[at(b)] = source.length(b);
    ++since_;
    flatten();
  }

  // A list of tokens for every sequence and kv head: what selected_source reads.
  block_lists lists() const {
    return {
        .offsets = offsets_, .blocks = tokens_, .batch = batch_, .heads = heads_, .group = group_};
  }

 private:
  struct token {
    int number;
    float weight;
  };
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }
  template <class Q> static void check_query(const view<Q>& q) {
    const extents& e = q.extent;
    if (e[2] != 1 || (!q.data && e[0] * e[1] * e[3] > 0))
      check::fail("heed::recycled_tokens", "q must be [B,H,1,D], not null",
                  {{"q", operand(view<const Q>(q))}});
  }
  template <class Q> static std::vector<float> values(const view<Q>& q) {
    std::vector<float> all;
    for (index b = 0; b < q.extent[0]; ++b)
      for (index h = 0; h < q.extent[1]; ++h)
        for (index c = 0; c < q.extent[3]; ++c) all.push_back(static_cast<float>(q(b, h, 0, c)));
    return all;
  }
  void flatten() {
    offsets_.assign(1, 0), tokens_.clear();
    for (const auto& list : kept_) {
      for (const token& t : list) tokens_.push_back(t.number);
      offsets_.push_back(static_cast<index>(tokens_.size()));
    }
  }

  recycling how_;
  index since_ = 0;  // steps since the last full one, which counts; 0: there was none
  index batch_ = 0, heads_ = 0, group_ = 1;
  std::vector<float> last_;
  std::vector<index> seen_;
  std::vector<std::vector<token>> kept_;  // [B, Hkv], ascending
  std::vector<index> offsets_{0};
  std::vector<int> tokens_;
};

}  // namespace heed
