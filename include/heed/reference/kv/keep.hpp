// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/matrix.hpp>

namespace heed::reference::kv {

/// Tokens t < n − recent of which fewer than `budget` others there have a larger number, or the
/// same and are older; and the last `recent`. x [n], NaN below all.
inline indices largest(const vector& x, index budget, index recent) {
  const index n = x.size(), older = n - std::min(n, recent);
  const auto before = [&](index s, index t) {
    if (std::isnan(x(t)) && !std::isnan(x(s))) return true;
    if (std::isnan(x(s)) && !std::isnan(x(t))) return false;
    return x(s) > x(t) || (!(x(s) < x(t)) && s < t);
  };
  indices kept;
  for (index t = 0; t < n; ++t) {
    index better = 0;
    for (index s = 0; s < older; ++s) better += before(s, t);
    if (t >= older || better < budget) kept.push_back(t);
  }
  return kept;
}

/// x [H×n] summed over the heads of each group -> [Hkv×n].
inline matrix by_group(const matrix& x, index kv_heads) {
  matrix sum = matrix::Zero(kv_heads, x.cols());
  for (index h = 0; h < x.rows(); ++h) sum.row(h / (x.rows() / kv_heads)) += x.row(h);
  return sum;
}

}  // namespace heed::reference::kv
