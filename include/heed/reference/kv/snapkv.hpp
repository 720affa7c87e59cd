// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/kv/keep.hpp>

namespace heed::reference::kv {

/// x_t <- mean or maximum of x over t − k/2 … t + k/2; beyond the ends there are zeros for the mean
/// and nothing for the maximum.
inline vector pool(const vector& x, index k, bool average) {
  vector y(x.size());
  for (index t = 0; t < x.size(); ++t) {
    double sum = 0, most = x(t);
    for (index i = t - k / 2; i <= t + k / 2; ++i) {
      if (i < 0 || i >= x.size()) continue;
      sum += x(i);
      most = std::fmax(most, x(i));
    }
    y(t) = average ? sum / static_cast<double>(k) : most;
  }
  return y;
}

/// SnapKV (Li et al.) for each kv head, from the weights p [H][Lq×n]: Σ over the last `window`
/// rows, pooled outside the window, summed over the heads of a group; top `budget` and the window.
inline std::vector<indices> snapkv(const std::vector<matrix>& p, index kv_heads, index window,
                                   index budget, index k, bool average) {
  const index n = p.front().cols(), older = n - std::min(window, n);
  matrix pooled(static_cast<index>(p.size()), older);
  for (index h = 0; h < pooled.rows(); ++h) {
    const matrix& one = p[static_cast<std::size_t>(h)];
    const vector mass = one.bottomRows(std::min(window, one.rows())).colwise().sum();
    pooled.row(h) = pool(mass.head(older), k, average).transpose();
  }
  const matrix number = by_group(pooled, kv_heads);
  std::vector<indices> kept;
  for (index h = 0; h < kv_heads; ++h) {
    kept.push_back(largest(number.row(h).transpose(), budget, 0));
    for (index t = older; t < n; ++t) kept.back().push_back(t);
  }
  return kept;
}

/// PyramidKV (Cai et al.): b_l falls in equal steps from 2 a − a/β at layer 0 to a/β at the last.
inline vector pyramid(index layers, double average, double beta) {
  return vector::LinSpaced(layers, 2 * average - average / beta, average / beta);
}

}  // namespace heed::reference::kv
