// SPDX-License-Identifier: BSL-1.0
// recurrence/rwkv7: S_t = diag(w_t) S_{t-1} + b_t (S_{t-1}ᵀ a_t)ᵀ + k_t v_tᵀ, o = Sᵀr; RWKV-7 has a
// = -k̂ and b = k̂ ⊙ its gate. Peng et al. 2025.
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/low_rank.hpp>

namespace heed::recurrences {

// log_w, a, b [B,H,L,Dk]
inline auto rwkv7(const operand& log_w, const operand& a, const operand& b) {
  return recurrence{.decay = channel_decay{log_w}, .update = low_rank_update{a, b}};
}

}  // namespace heed::recurrences
