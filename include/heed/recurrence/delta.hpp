// SPDX-License-Identifier: BSL-1.0
// recurrence/delta: DeltaNet, S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, keys of length 1.
// Yang et al. 2024.
#pragma once

#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

namespace heed::recurrences {

// beta [B,H,L]; k given with length 1, or .feature = l2_norm_feature{}.
inline auto delta(const operand& beta, double scale = 1) {
  return recurrence{.update = delta_update{beta}, .scale = scale};
}

}  // namespace heed::recurrences
