// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::kv {

/// What a sequence attends: the shared rows, then its own. [P×D], [N×D] -> [P+N×D].
inline matrix joined(const matrix& prefix, const matrix& own) {
  matrix all(prefix.rows() + own.rows(), prefix.cols());
  all << prefix, own;
  return all;
}

}  // namespace heed::reference::kv
