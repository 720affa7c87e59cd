// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::normalizer {

/// a_ij = softmax over the queries i of key j, p_ij = (a_ij + ε) / Σ_j (a_ij + ε) over the pairs
/// that are allowed (Locatello et al., Object-centric learning with slot attention, 2020).
inline matrix query_axis(const matrix& s, const allowed& a, double epsilon) {
  matrix p = softmax(s.transpose(), a.transpose()).transpose();
  for (Eigen::Index i = 0; i < p.rows(); ++i) {
    for (Eigen::Index j = 0; j < p.cols(); ++j) p(i, j) = a(i, j) ? p(i, j) + epsilon : 0;
    if (p.row(i).sum() > 0) p.row(i) /= p.row(i).sum();
  }
  return p;
}

}  // namespace heed::reference::normalizer
