// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>

#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::normalizer {

/// p_ij = [(α - 1) s_ij - τ_i]₊^{1/(α - 1)}, τ_i from Σ_j p_ij = 1, found by bisection (Peters,
/// Niculae & Martins, Sparse sequence-to-sequence models, 2019). Rows without keys give zeros.
inline matrix entmax(const matrix& s, const allowed& a, double alpha) {
  matrix p = matrix::Zero(s.rows(), s.cols());
  for (Eigen::Index i = 0; i < s.rows(); ++i) {
    if (!a.row(i).any()) continue;
    const auto weights = [&](double tau) {
      vector w = vector::Zero(s.cols());
      for (Eigen::Index j = 0; j < s.cols(); ++j)
        if (a(i, j)) w[j] = std::pow(std::max((alpha - 1) * s(i, j) - tau, 0.0), 1 / (alpha - 1));
      return w;
    };
    double top = -INFINITY;
    for (Eigen::Index j = 0; j < s.cols(); ++j)
      if (a(i, j)) top = std::max(top, (alpha - 1) * s(i, j));
    double low = top - 1, high = top;  // Σ p >= 1 at `low`, 0 at `high`
    for (int step = 0; step < 60; ++step) {
      const double middle = (low + high) / 2;
      (weights(middle).sum() >= 1 ? low : high) = middle;
    }
    p.row(i) = weights(low) / weights(low).sum();
  }
  return p;
}

}  // namespace heed::reference::normalizer
