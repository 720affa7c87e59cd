// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference {

/// o_i = Σ_j p_ij v_j; p [Lq×Lk], v [Lk×Dv] -> [Lq×Dv].
/// A key of weight zero takes no part, whatever its value holds (NaN and infinity included).
inline matrix attention(const matrix& p, const matrix& v) {
  matrix o = matrix::Zero(p.rows(), v.cols());
  for (index i = 0; i < p.rows(); ++i)
    for (index j = 0; j < p.cols(); ++j)
      if (p(i, j) != 0) o.row(i) += p(i, j) * v.row(j);
  return o;
}

}  // namespace heed::reference
