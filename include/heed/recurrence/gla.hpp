// SPDX-License-Identifier: BSL-1.0
// recurrence/gla: gated linear attention, S_t = diag(α_t) S_{t-1} + k_t v_tᵀ, o = Sᵀq / √D, a gate
// in (0, 1] for every channel of the key.
//
//   scan(recurrences::gla(as<"BHLD">(log_alpha), depth), q, k, v, out, state);
//
// HGRN2 is k = 1 - α. 4 Dk·Dv flops a token and C (Dk + Dv) for chunks of C; shapes and what throws
// as `scan`. Yang et al. 2023.
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_alpha [B,H,L,Dk]; depth: channels of q.
inline auto gla(const operand& log_alpha, index depth) {
  return recurrence{.decay = channel_decay{log_alpha}, .scale = 1 / std::sqrt(double(depth))};
}

}  // namespace heed::recurrences
