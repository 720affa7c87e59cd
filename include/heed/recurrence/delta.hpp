// SPDX-License-Identifier: BSL-1.0
// recurrence/delta: DeltaNet, S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ: what S holds at k_t
// is moved towards v_t by the share β.
//
//   scan(recurrences::delta(as<"BHL">(beta)), q, k, v, out, state);
//
// Keys of length 1 and β in [0, 2], or S grows without bound. 6 Dk·Dv flops a token and
// 2 C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. Yang et al. 2024.
#pragma once

#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

namespace heed::recurrences {

// beta [B,H,L]; k given with length 1, or .feature = l2_norm_feature{}.
inline auto delta(const operand& beta, double scale = 1) {
  return recurrence{.update = delta_update{beta}, .scale = scale};
}

}  // namespace heed::recurrences
