// SPDX-License-Identifier: BSL-1.0
// select/moba: g_ib = ⟨q_i, mean of the keys of b⟩, -∞ for blocks that begin after position i, +∞
// for its own; the `top` largest, ties to the lower block. allowed(i, b).
#pragma once

#include <algorithm>
#include <heed/reference/matrix.hpp>
#include <limits>
#include <numeric>

namespace heed::reference::select {

// Numbers of the `count` largest, ties to the lower; -∞ is never one of them.
inline indices ranked(const vector& scores, index count) {
  indices order(static_cast<std::size_t>(scores.size()));
  std::iota(order.begin(), order.end(), index{0});
  std::sort(order.begin(), order.end(), [&](index a, index b) {
    return scores(a) > scores(b) || (scores(a) == scores(b) && a < b);
  });
  indices chosen;
  for (const index i : order)
    if (index(chosen.size()) < count && scores(i) > -std::numeric_limits<double>::infinity())
      chosen.push_back(i);
  return chosen;
}

// Means of every `size` rows.
inline matrix block_means(const matrix& x, index size) {
  matrix mean((x.rows() + size - 1) / size, x.cols());
  for (index b = 0; b < mean.rows(); ++b)
    mean.row(b) = x.middleRows(b * size, std::min(size, x.rows() - b * size)).colwise().mean();
  return mean;
}

inline allowed moba(const matrix& q, const matrix& k, index block, index top) {
  const matrix mean = block_means(k, block);
  allowed chosen = allowed::Constant(q.rows(), mean.rows(), false);
  for (index i = 0; i < q.rows(); ++i) {
    const index at = i + k.rows() - q.rows();
    vector g = mean * q.row(i).transpose();
    for (index b = 0; b < g.size(); ++b) {
      if (b * block > at) g(b) = -std::numeric_limits<double>::infinity();
      if (at >= 0 && b == at / block) g(b) = std::numeric_limits<double>::infinity();
    }
    for (const index b : ranked(g, top)) chosen(i, b) = true;
  }
  return chosen;
}

}  // namespace heed::reference::select
