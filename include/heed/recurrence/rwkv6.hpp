// SPDX-License-Identifier: BSL-1.0
// recurrence/rwkv6: o_t = r_tᵀ(S_{t-1} + diag(u) k_t v_tᵀ), S_t = diag(w_t) S_{t-1} + k_t v_tᵀ: the
// own token counts by u, in place of being decayed. RWKV-5 has one w for all tokens.
//
//   scan(recurrences::rwkv6(as<"BHLD">(log_w), as<"HD">(u)), r, k, v, out, state);   // q = r
//
// 4 Dk·Dv flops a token and C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. Peng et
// al. 2024.
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_w [B,H,L,Dk] (-e^…), u [1,H,1,Dk]
inline auto rwkv6(const operand& log_w, const operand& u) {
  return recurrence{.decay = channel_decay{log_w}, .readout = bonus_readout{u}};
}
// log_w [1,H,1,Dk|1]
inline auto rwkv5(const operand& log_w, const operand& u) { return rwkv6(log_w, u); }

}  // namespace heed::recurrences
