// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// π_in = Σ_{j : clip(j − i, −m, m) = n − m} p_ij; p [Lq×Lk], query 0 at position `first`
/// -> [Lq×(2m+1)].
inline matrix relative_mass(const matrix& p, index m, index first) {
  matrix mass = matrix::Zero(p.rows(), 2 * m + 1);
  for (index i = 0; i < p.rows(); ++i)
    for (index j = 0; j < p.cols(); ++j) mass(i, std::clamp(j - (i + first), -m, m) + m) += p(i, j);
  return mass;
}

}  // namespace heed::reference::observe
