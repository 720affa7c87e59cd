// SPDX-License-Identifier: BSL-1.0
// select/moba: mixture of block attention (Lu et al., MoBA, 2025).
//
//   const block_selection chosen = select_moba({.block = 512, .top = 3}, q, k);
//   attend(attention{.mask = selected{chosen.lists(), causal{}}}, q, k, v, out);
//
// Keys are cut into blocks; query i scores block b by g_ib = q_i · mean of the keys of b, unscaled,
// and attends to the `top` blocks with the largest scores among those that begin before it, its own
// always one of them, causally. Ties go to the lower block. The choice has no gradient: backward is
// `attend_backward` with the same lists.
#pragma once

#include <heed/plan/block_lists.hpp>
#include <heed/select/block_summary.hpp>
#include <heed/select/row_choice.hpp>
#include <heed/select/token_scores.hpp>
#include <heed/select/top_k.hpp>

namespace heed {

struct moba {
  index block = 512;
  index top = 3;  // its own block counts

  void check(const char* operation) const {
    if (block < 1) check::fail(operation, "block must be positive: " + std::to_string(block));
    if (top < 1) check::fail(operation, "top must be positive: " + std::to_string(top));
  }
};

// Lists for every query row of every head. q [B,H,Lq,D], k [B,Hkv,Lk,D]; the last query sits at the
// last key. O(Lq · D · Lk / block) for each head, and one reading of the keys. Throws
// std::invalid_argument if q and k do not fit each other, or block or top is not positive.
template <class Arch = simd::best, storable Q, storable K>
block_selection select_moba(const moba& spec, const view<Q>& q, const view<K>& k,
                            const executor_ref& executor = {}) {
  using T = compute_type<Q, K>;
  constexpr const char* operation = "heed::select_moba";
  spec.check(operation);
  const operand x = view<const Q>(q), y = view<const K>(k);
  detail::check_choice(operation, x, y);
  const detail::block_summaries<T> means(y, {.size = spec.block}, executor, Arch{});
  const index heads = q.extent[1], group = heads / std::max<index>(1, k.extent[1]),
              offset = k.extent[2] - q.extent[2];
  detail::row_choice<T> choice({q.extent[0], heads, 1, q.extent[2]}, spec.top, spec.block, executor,
                               means.blocks);
  choice.each_rows(executor, [&](index b, index h, span rows, auto& at) {
    const T* const queries = at.template rows<Arch>(x, b, h, rows);
    detail::token_scores<Arch>(queries, rows.size(), means.of_head(b, h / group), means.blocks,
                               means.channels, at.scores());
    for (index i = rows.begin; i < rows.end; ++i) {
      T* const s = at.scores() + (i - rows.begin) * means.blocks;
      if (i + offset < 0) continue;
      const index own = (i + offset) / spec.block;
      s[own] = std::numeric_limits<T>::infinity();
      at.choose(i, s, own + 1);
    }
  });
  return choice.take();
}

}  // namespace heed
