// SPDX-License-Identifier: BSL-1.0
// recurrence/rwkv7: S_t = diag(w_t) S_{t-1} + b_t (S_{t-1}ᵀ a_t)ᵀ + k_t v_tᵀ, o = Sᵀr: what S holds
// at a_t is written to b_t; RWKV-7 has a = -k̂ and b = k̂ ⊙ its gate.
//
//   scan(recurrences::rwkv7(as<"BHLD">(log_w), as<"BHLD">(a), as<"BHLD">(b)), r, k, v, out, state);
//
// 6 Dk·Dv flops a token and 2 C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. Peng
// et al. 2025.
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
