// SPDX-License-Identifier: BSL-1.0
// select/block_topk: blocks of queries choose blocks of keys by a score of their summaries.
//
//   const block_selection chosen = select_block_topk({.top = 16}, q, k);
//   attend(attention{.mask = selected{chosen.lists(), causal{}}}, q, k, v, out);
//
//   S_ab = q̄_a · k̄_b / √D,  q̄ and k̄ by `summary`
//
// A block of queries attends to the `top` blocks with the largest scores or, where `mass` is set,
// to the fewest whose share of softmax_b(S_ab) reaches it; a mass of 1 is every block. The first
// `sinks` blocks and the blocks of its own positions are always among them, even where these are
// more than `top`; causal leaves out blocks that begin after the last of its queries. Ties go to
// the lower block. The choice has no gradient. O(blocks² · D), times the stride for antidiagonals,
// and one reading of q and k.
// VSA, Zhang et al. 2025; XAttention (antidiagonals), Xu et al. 2025; FlexPrefill (`mass`), Lai et
// al. 2025.
#pragma once

#include <algorithm>
#include <heed/select/block_summary.hpp>
#include <heed/select/row_choice.hpp>
#include <heed/select/token_scores.hpp>
#include <numeric>

namespace heed {

struct block_topk {
  index rows = 128, keys = 128;  // of a block
  index top = 16;
  double mass = 0;  // in (0, 1]: chosen in place of `top`
  index sinks = 1;
  bool causal = true;
  block_summary summary = block_summary::mean;
  index stride = 8;  // of antidiagonals

  void check(const char* operation) const {
    const auto positive = [&](const char* name, index is) {
      if (is < 1)
        check::fail(operation, std::string(name) + " must be positive: " + std::to_string(is));
    };
    positive("rows", rows), positive("keys", keys), positive("top", top),
        positive("stride", stride);
    if (sinks < 0) check::fail(operation, "sinks must not be negative: " + std::to_string(sinks));
    if (!(mass >= 0 && mass <= 1))
      check::fail(operation, "mass must be in [0, 1]: " + std::to_string(mass));
  }
};

namespace detail {

// The fewest of n scores whose softmax reaches `mass`, ascending; +∞ is always taken and has no
// share, NaN and -∞ never are. All others at a mass of 1, which a rounded sum reaches before the
// smallest shares. `order` holds n numbers.
template <class T>
index choose_mass(const T* s, index n, double mass, int* chosen, T* weight,
                  std::vector<int>& order) {
  constexpr T never = -std::numeric_limits<T>::infinity(), always = -never;
  order.clear();
  T top = never;
  for (index i = 0; i < n; ++i) {
    if (s[i] > never) order.push_back(static_cast<int>(i));
    if (s[i] > top && s[i] < always) top = s[i];
  }
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return s[a] > s[b] || (s[a] == s[b] && a < b); });
  T sum(0);
  for (const int i : order) sum += weight[i] = s[i] < always ? std::exp(s[i] - top) : T(0);
  index count = 0;
  T reached(0);
  for (const int i : order) {
    if (s[i] < always && mass < 1 && reached >= static_cast<T>(mass) * sum) break;
    reached += weight[i];
    chosen[count++] = i;
  }
  std::sort(chosen, chosen + count);
  return count;
}

}  // namespace detail

// Lists for every block of query rows of every head. q [B,H,Lq,D], k [B,Hkv,Lk,D]; the last query
// sits at the last key. Throws std::invalid_argument if q and k do not fit each other, or a number
// of the spec is out of its range.
template <class Arch = simd::best, storable Q, storable K>
block_selection select_block_topk(const block_topk& spec, const view<Q>& q, const view<K>& k,
                                  const executor_ref& executor = {}) {
  using T = compute_type<Q, K>;
  constexpr const char* operation = "heed::select_block_topk";
  constexpr T infinity = std::numeric_limits<T>::infinity();
  spec.check(operation);
  const operand x = view<const Q>(q), y = view<const K>(k);
  detail::check_choice(operation, x, y);
  if (spec.summary == block_summary::antidiagonal)
    for (const operand* of : {&x, &y}) {
      double numbers = double(spec.stride);
      for (const index n : of->extent) numbers *= double(n);
      if (numbers >= 0x1p58)
        check::fail(operation, "stride is too large: " + std::to_string(spec.stride),
                    {{"q", x}, {"k", y}});
    }
  const detail::block_summaries<T> queries(x, {spec.summary, spec.rows, spec.stride, false},
                                           executor, Arch{}),
      keys(y, {spec.summary, spec.keys, spec.stride, true}, executor, Arch{});
  const index heads = q.extent[1], group = heads / std::max<index>(1, k.extent[1]),
              offset = k.extent[2] - q.extent[2], count = keys.blocks;
  // Antidiagonals are sums over one pair in `stride`.
  const double pairs = spec.summary == block_summary::antidiagonal
                           ? double(spec.rows) * double(spec.keys) / double(spec.stride)
                           : 1;
  const T scale = static_cast<T>(1 / (std::sqrt(double(std::max<index>(1, q.extent[3]))) * pairs));
  // Rows that follow each other lie in at most this many blocks of keys.
  const index own = (spec.rows - 1) / spec.keys + 2,
              kept_most = std::min(spec.sinks, count) + std::min(own, count),
              most = spec.mass > 0 ? count : std::max(spec.top, kept_most);
  detail::row_choice<T> choice({q.extent[0], heads, 1, queries.blocks}, most, spec.keys, executor,
                               count);
  std::vector<std::vector<int>> orders(static_cast<std::size_t>(executor.workers()));
  choice.each_rows(executor, [&](index b, index h, span rows, auto& at) {
    detail::token_scores<Arch>(at.template rows<Arch>(queries.all(), b, h, rows), rows.size(),
                               keys.of_head(b, h / group), count, keys.channels, at.scores());
    for (index a = rows.begin; a < rows.end; ++a) {
      T* const s = at.scores() + (a - rows.begin) * count;
      for (index n = 0; n < count; ++n) s[n] *= scale;
      const index first = a * spec.rows + offset,
                  last = std::min((a + 1) * spec.rows, q.extent[2]) + offset - 1;
      const index seen =
          spec.causal ? (last < 0 ? 0 : std::min(count, last / spec.keys + 1)) : count;
      const index sinks = std::min(spec.sinks, seen);
      index kept = sinks;
      for (index n = 0; n < sinks; ++n) s[n] = infinity;
      for (index n = std::max(std::max<index>(first, 0) / spec.keys, sinks);
           n < seen && n * spec.keys <= last; ++n)
        s[n] = infinity, ++kept;
      if (spec.mass > 0)
        at.took(a, detail::choose_mass(s, seen, spec.mass, at.chosen(a), at.rest(),
                                       orders[static_cast<std::size_t>(at.number())]));
      else
        at.choose(a, s, seen, std::max(spec.top, kept));
    }
  });
  block_selection chosen = choice.take();
  chosen.rows = spec.rows;
  return chosen;
}

}  // namespace heed
