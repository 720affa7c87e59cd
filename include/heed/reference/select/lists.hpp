// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/matrix.hpp>
#include <numeric>

namespace heed::reference::select {

/// The `count` largest of x, ascending; of equal ones those with the lower number.
inline indices largest(const vector& x, index count) {
  indices all(static_cast<std::size_t>(x.size()));
  std::iota(all.begin(), all.end(), index{0});
  std::sort(all.begin(), all.end(),
            [&](index i, index j) { return x(i) > x(j) || (x(i) == x(j) && i < j); });
  all.resize(static_cast<std::size_t>(std::min(count, x.size())));
  std::sort(all.begin(), all.end());
  return all;
}

/// Attention of the queries of one list to its keys: o [Lq×Dv], zeros for other queries and for
/// those that may see none of the keys.
inline matrix among(const matrix& q, const matrix& k, const matrix& v, const indices& queries,
                    const indices& keys, const allowed& mask) {
  matrix o = matrix::Zero(q.rows(), v.cols());
  for (const index i : queries) {
    double sum = 0, top = -INFINITY;
    for (const index j : keys)
      if (mask(i, j)) top = std::max(top, q.row(i).dot(k.row(j)) / std::sqrt(double(q.cols())));
    for (const index j : keys)
      if (mask(i, j)) {
        const double p = std::exp(q.row(i).dot(k.row(j)) / std::sqrt(double(q.cols())) - top);
        o.row(i) += p * v.row(j), sum += p;
      }
    if (sum > 0) o.row(i) /= sum;
  }
  return o;
}

}  // namespace heed::reference::select
