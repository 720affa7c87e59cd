// SPDX-License-Identifier: BSL-1.0
// recurrence/gla: gated linear attention, S_t = diag(α_t) S_{t-1} + k_t v_tᵀ, o = Sᵀq / √D. Yang et
// al. 2023; HGRN2 with k = 1 - α.
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_alpha [B,H,L,Dk]; depth: channels of q.
inline auto gla(const operand& log_alpha, index depth) {
  return recurrence{.decay = channel_decay{log_alpha}, .scale = 1 / std::sqrt(double(depth))};
}

}  // namespace heed::recurrences
