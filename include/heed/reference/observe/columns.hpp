// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// p_·j for the listed keys; p [Lq×Lk] -> [Lq×keys].
inline matrix columns(const matrix& p, const indices& keys) {
  matrix chosen(p.rows(), static_cast<index>(keys.size()));
  for (index j = 0; j < chosen.cols(); ++j) chosen.col(j) = p.col(keys[std::size_t(j)]);
  return chosen;
}

}  // namespace heed::reference::observe
