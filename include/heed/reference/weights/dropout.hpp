// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::weights {

/// p'_ij = p_ij · kept_ij / (1 − rate), after normalising (Srivastava et al., Dropout).
inline matrix dropout(const matrix& p, const allowed& kept, double rate) {
  return kept.select(p.array() / (1 - rate), 0).matrix();
}

}  // namespace heed::reference::weights
