// SPDX-License-Identifier: BSL-1.0
// recurrence/kda: Kimi delta attention, S ← diag(e^{g_t}) S, S ← S + β_t k_t (v_t - Sᵀk_t)ᵀ, o =
// Sᵀq / √D. Kimi Team 2025.
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

namespace heed::recurrences {

// log_alpha [B,H,L,Dk], beta [B,H,L]; depth: channels of q.
inline auto kda(const operand& log_alpha, const operand& beta, index depth) {
  return recurrence{.decay = channel_decay{log_alpha},
                    .update = delta_update{beta},
                    .scale = 1 / std::sqrt(double(depth))};
}

}  // namespace heed::recurrences
