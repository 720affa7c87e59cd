// SPDX-License-Identifier: BSL-1.0
// recurrence/kda: Kimi delta attention, S ← diag(e^{g_t}) S, S ← S + β_t k_t (v_t - Sᵀk_t)ᵀ, o =
// Sᵀq / √D: the delta rule that forgets each channel of the key by its own gate, g <= 0.
//
//   scan(recurrences::kda(as<"BHLD">(g), as<"BHL">(beta), depth), q, k, v, out, state);
//
// Keys of length 1 and β in [0, 2], or S grows without bound. 6 Dk·Dv flops a token and
// 2 C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. Kimi Team 2025.
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
