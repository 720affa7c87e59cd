// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// p_i· for the listed queries; p [Lq×Lk] -> [queries×Lk].
inline matrix rows(const matrix& p, const indices& queries) {
  matrix chosen(static_cast<index>(queries.size()), p.cols());
  for (index i = 0; i < chosen.rows(); ++i) chosen.row(i) = p.row(queries[std::size_t(i)]);
  return chosen;
}

}  // namespace heed::reference::observe
