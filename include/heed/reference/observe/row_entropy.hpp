// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// H_i = −Σ_j p_ij log p_ij, 0 log 0 = 0; p [Lq×Lk].
inline vector row_entropy(const matrix& p) {
  vector h = vector::Zero(p.rows());
  for (index i = 0; i < p.rows(); ++i)
    for (index j = 0; j < p.cols(); ++j)
      if (p(i, j) > 0) h(i) -= p(i, j) * std::log(p(i, j));
  return h;
}

}  // namespace heed::reference::observe
