// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// s_ij = −‖q_i − k_j‖² / c; c = 2√D in PPGT, 2σ² for a Gaussian kernel of width σ.
inline matrix distance(const matrix& q, const matrix& k, double c) {
  matrix s(q.rows(), k.rows());
  for (index i = 0; i < s.rows(); ++i)
    for (index j = 0; j < s.cols(); ++j) s(i, j) = -(q.row(i) - k.row(j)).squaredNorm() / c;
  return s;
}

}  // namespace heed::reference::similarity
