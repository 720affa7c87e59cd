// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// π_ig = Σ_{j : labels_j = g} p_ij, g < groups; p [Lq×Lk] -> [Lq×groups].
inline matrix group_mass(const matrix& p, const std::vector<int>& labels, index groups) {
  matrix mass = matrix::Zero(p.rows(), groups);
  for (index j = 0; j < p.cols(); ++j) {
    const index g = labels[static_cast<std::size_t>(j)];
    if (g >= 0 && g < groups) mass.col(g) += p.col(j);
  }
  return mass;
}

}  // namespace heed::reference::observe
