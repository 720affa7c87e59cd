// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::weights {

/// p'_ij = c_j p_ij + a_j on allowed pairs, 0 elsewhere.
inline matrix column_scale(const matrix& p, const allowed& on, const vector& c, const vector& a) {
  matrix x = p * c.asDiagonal();
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < x.cols(); ++j) x(i, j) = on(i, j) ? x(i, j) + a(j) : 0;
  return x;
}

/// c_j p_ij / Σ_j c_j p_ij; rows whose sum is zero give zeros.
inline matrix renormalized_column_scale(const matrix& p, const vector& c) {
  matrix x = p * c.asDiagonal();
  for (index i = 0; i < x.rows(); ++i)
    if (x.cols() > 0 && x.row(i).sum() != 0) x.row(i) /= x.row(i).sum();
  return x;
}

}  // namespace heed::reference::weights
