// SPDX-License-Identifier: BSL-1.0
// kv/snapkv: which tokens of a prompt its last rows look at; and what is decided like it.
//
//   column_mass(spec, q, k, lse, {.mass = mass}, {.last = policy.window});
//   policy.keep(mass, b, kv_heads, length, kept);  cache.evict(b, kept);
//
// snapkv: the number of a token outside the window is the weight that the last `window` rows gave
// it, pooled over its `pool` neighbours within the tokens outside, query head by query head, then
// summed over the query heads of a kv head; the `budget` largest stay, and the window (Li et al.,
// SnapKV, 2024). The average counts missing neighbours as 0. O(H · N · pool).
// pyramid_budgets: budgets that decrease over layers, for snapkv or another (Cai et al.,
// PyramidKV, 2024). tova: the newest row's weights; the smallest are dropped until `budget` tokens
// are left, the same tokens for all heads, or those of each kv head (Oren et al., TOVA, 2024).
// O(H · N). All are functions of their arguments. They throw std::invalid_argument on arrays,
// sequences and budgets that do not fit.
#pragma once

#include <cmath>
#include <heed/kv/keep.hpp>

namespace heed {

enum class pooling { average, largest };

struct snapkv {
  index window = 32;
  index budget = 1024;  // tokens besides the window
  index pool = 5;
  pooling by = pooling::average;

  // mass [B,H,N] of the last `window` rows, of a sequence with the given tokens.
  void keep(const operand& mass, index b, index kv_heads, index length, kept_tokens& to) const {
    check_token_numbers("heed::snapkv", "the mass", mass, mass.extent[0], b, kv_heads, length);
    if (window < 0 || budget < 0 || pool < 1 || pool % 2 == 0)
      check::fail("heed::snapkv", "window and budget must not be negative, and pool must be odd: " +
                                      std::to_string(window) + ", " + std::to_string(budget) +
                                      " and " + std::to_string(pool));
    const index older = length - std::min(window, length), group = mass.extent[1] / kv_heads;
    std::vector<double> one(static_cast<std::size_t>(older)),
        sum(static_cast<std::size_t>(kv_heads * older), 0.0);
    for (index h = 0; h < mass.extent[1]; ++h) {
      for (index t = 0; t < older; ++t)
        simd::load_row(mass.type, mass.row(b, h, t), 1, 1, one.data() + t);
      for (index t = 0; t < older; ++t)
        sum[static_cast<std::size_t>(h / group * older + t)] += pooled(one, t);
    }
    keep_largest(
        kv_heads, length, budget, window,
        [&](index h, index t) { return sum[static_cast<std::size_t>(h * older + t)]; }, to);
  }

 private:
  double pooled(const std::vector<double>& x, index t) const {
    const index first = std::max<index>(t - pool / 2, 0),
                last = std::min(t + pool / 2, index(x.size()) - 1);
    double sum = 0, most = x[static_cast<std::size_t>(t)];
    for (index i = first; i <= last; ++i) {
      const double y = x[static_cast<std::size_t>(i)];
      sum += y, most = y > most ? y : most;
    }
    return by == pooling::average ? sum / double(pool) : most;
  }
};

// Budgets of layers 0 ... layers - 1 that fall in equal steps from 2 a - a / steepness to
// a / steepness, a the average: b_l = b_0 + (b_last - b_0) l / (layers - 1), rounded down, what is
// left over given to the first layers. Their sum is layers · average.
inline std::vector<index> pyramid_budgets(index layers, index average, double steepness = 20) {
  if (layers < 1 || average < 0 || !(steepness >= 1) || double(layers) * double(average) >= 0x1p52)
    check::fail("heed::pyramid_budgets",
                "there must be a layer, the average must not be negative, steepness at least 1, "
                "and the sum below 2^52: " +
                    std::to_string(layers) + ", " + std::to_string(average) + " and " +
                    std::to_string(steepness));
  const double last = double(average) / steepness, first = 2 * double(average) - last;
  std::vector<index> budgets;
  index rest = layers * average;
  for (index l = 0; l < layers; ++l) {
    const double share = layers > 1 ? double(l) / double(layers - 1) : 0.5;
    budgets.push_back(static_cast<index>(std::floor(first + (last - first) * share)));
    rest -= budgets.back();
  }
  for (index l = 0; l < rest; ++l) ++budgets[static_cast<std::size_t>(l)];
  return budgets;
}

struct tova {
  index budget = 1024;
  bool all_heads = true;

  // weights [B,H,N] of the newest row: `column_mass` with {.last = 1}, or `rows`.
  void keep(const operand& weights, index b, index kv_heads, index length, kept_tokens& to) const {
    check_token_numbers("heed::tova", "the weights", weights, weights.extent[0], b, kv_heads,
                        length);
    if (budget < 0)
      check::fail("heed::tova", "budget must not be negative: " + std::to_string(budget));
    const index lists = all_heads ? 1 : kv_heads;
    std::vector<double> sum(static_cast<std::size_t>(lists * length));
    sum_groups(weights, b, lists, length, sum.data());
    keep_largest(
        kv_heads, length, budget, 0,
        [&](index h, index t) {
          return sum[static_cast<std::size_t>((all_heads ? 0 : h) * length + t)];
        },
        to);
  }
};

}  // namespace heed
