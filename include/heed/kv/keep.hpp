// SPDX-License-Identifier: BSL-1.0
// What policies of kv/ decide: which tokens of a sequence a cache is to keep.
//
// A policy turns numbers that an observer made, one a kv head and token, into lists of tokens,
// ascending and equally long for all kv heads; a cache takes them, and the policy, if it keeps
// numbers of its own, takes them too:
//
//   policy.keep(b, kept);  cache.evict(b, kept);  policy.evict(b, kept);
//
// Tokens are numbered as the cache holds them, oldest first. Of equal numbers the older token
// stays; NaN is less than any number.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/simd/convert.hpp>
#include <limits>
#include <vector>

namespace heed {

struct kept_tokens {
  std::vector<index> tokens;  // [heads][count]
  index heads = 0, count = 0;

  const index* head(index h) const { return tokens.data() + h * count; }
};

// Weights of one query, [B,H,1,N] as observe/rows gives them, as what policies take, [B,H,N].
template <class T> constexpr view<T> one_row(const view<T>& weights) {
  const extents &e = weights.extent, &s = weights.stride;
  return {weights.data, {e[0], e[1], e[3], e[2]}, {s[0], s[1], s[3], s[2]}};
}

// For each kv head the `budget` tokens of largest number(head, token) among the first
// length - recent, and the `recent` last ones. Everything where there are no more. Allocates only
// where `to` has never held as much.
template <class Number>
void keep_largest(index heads, index length, index budget, index recent, const Number& number,
                  kept_tokens& to) {
  recent = std::min(recent, length);
  const index older = length - recent;
  budget = std::min(budget, older);
  to.heads = heads, to.count = budget + recent;
  to.tokens.resize(static_cast<std::size_t>(heads * to.count + older));
  for (index h = 0; h < heads; ++h) {
    // Each head sorts where the next ones will lie.
    index* const first = to.tokens.data() + h * to.count;
    const auto value = [&](index t) {
      const double x = number(h, t);
      return x == x ? x : -std::numeric_limits<double>::infinity();
    };
    for (index t = 0; t < older; ++t) first[t] = t;
    std::nth_element(first, first + budget, first + older, [&](index s, index t) {
      const double x = value(s), y = value(t);
      return x != y ? x > y : s < t;
    });
    std::sort(first, first + budget);
    for (index t = 0; t < recent; ++t) first[budget + t] = older + t;
  }
  to.tokens.resize(static_cast<std::size_t>(heads * to.count));
}

// Numbers of one sequence, summed over the query heads of a kv head: x [B,H,N] -> sum
// [kv_heads][N].
inline void sum_groups(const operand& x, index b, index kv_heads, index count, double* sum) {
  const index group = x.extent[1] / kv_heads;
  std::fill_n(sum, kv_heads * count, 0.0);
  for (index h = 0; h < x.extent[1]; ++h)
    for (index t = 0; t < count; ++t) {
      double one;
      simd::load_row(x.type, x.row(b, h, t), 1, 1, &one);
      sum[h / group * count + t] += one;
    }
}
// x must be [B,H,N], N at least `length`, H a multiple of the kv heads.
inline void check_token_numbers(const char* policy, const char* name, const operand& x, index batch,
                                index b, index kv_heads, index length) {
  const extents& e = x.extent;
  if (b < 0 || b >= batch || length < 0)
    check::fail(policy, "there is no sequence " + std::to_string(b) + " of " +
                            std::to_string(length) + " tokens in a batch of " +
                            std::to_string(batch));
  if (kv_heads < 1 || e[0] != batch || e[1] % kv_heads != 0 || e[1] == 0 || e[2] < length ||
      e[3] != 1 || (!x.present() && length > 0))
    check::fail(policy,
                std::string(name) + " must be [B,H,N] for a batch of " + std::to_string(batch) +
                    ", a multiple of " + std::to_string(kv_heads) + " heads and at least " +
                    std::to_string(length) + " tokens",
                {{name, x}});
}

}  // namespace heed
