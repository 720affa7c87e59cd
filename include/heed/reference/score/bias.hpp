// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s + b with b [Lq|1 × Lk|1] broadcast along its axes of extent one.
inline matrix bias(matrix s, const matrix& b) {
  for (index i = 0; i < s.rows(); ++i)
    for (index j = 0; j < s.cols(); ++j) s(i, j) += b(b.rows() == 1 ? 0 : i, b.cols() == 1 ? 0 : j);
  return s;
}

}  // namespace heed::reference::score
