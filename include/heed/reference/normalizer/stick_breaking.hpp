// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::normalizer {

/// p_ij = σ(s_ij) Π_{j<k<i} (1 - σ(s_ik)) over the keys j < i, or j <= i with `self`; query row r
/// sits at key r + Lk - Lq (Tan et al., Stick-breaking attention, 2024).
inline matrix stick_breaking(const matrix& s, const allowed& a, bool self) {
  const auto sigma = [](double x) { return 1 / (1 + std::exp(-x)); };
  matrix p = matrix::Zero(s.rows(), s.cols());
  for (Eigen::Index i = 0; i < s.rows(); ++i) {
    const Eigen::Index own = i + s.cols() - s.rows();
    const auto takes_part = [&](Eigen::Index k) { return a(i, k) && (self || k != own); };
    for (Eigen::Index j = 0; j < s.cols(); ++j) {
      if (!takes_part(j)) continue;
      p(i, j) = sigma(s(i, j));
      for (Eigen::Index k = j + 1; k < s.cols(); ++k)
        if (takes_part(k)) p(i, j) *= 1 - sigma(s(i, k));
    }
  }
  return p;
}

/// 1 - Σ_j p_ij.
inline vector rest(const matrix& p) { return vector::Ones(p.rows()) - p.rowwise().sum(); }

/// What is left of the stick added to the weight of the query's own key, where it sees that.
inline matrix rest_to_self(matrix p, const allowed& a) {
  const vector left = rest(p);
  for (Eigen::Index i = 0; i < p.rows(); ++i) {
    const Eigen::Index own = i + p.cols() - p.rows();
    if (own >= 0 && own < p.cols() && a(i, own)) p(i, own) += left[i];
  }
  return p;
}

}  // namespace heed::reference::normalizer
