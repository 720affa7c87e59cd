// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s ← min(max(s, lo), hi) (Ma et al., GRIT; Softmax attention as a recurrent network).
inline matrix clamp(const matrix& s, double lo, double hi) { return s.cwiseMax(lo).cwiseMin(hi); }

}  // namespace heed::reference::score
