// SPDX-License-Identifier: BSL-1.0
// recurrence/general: h_t = Λ_t h_{t-1} + B_t u_tᵀ, y_t = C_tᵀ h_t, Λ diagonal: what the aggregate
// `recurrence` is about, and the form in which attention, state spaces and recurrent networks are
// compared.
//
//   scan(recurrences::general(as<"BHLD">(log_lambda)), c, b, u, y, state);   // q = C, k = B, v = u
//
// 4 Dk·Dv flops a token and C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. DSF
// (Sieber et al. 2024).
#pragma once

#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_lambda [B|1, H|1, L|1, Dk]
inline auto general(const operand& log_lambda) {
  return recurrence{.decay = channel_decay{log_lambda}};
}

}  // namespace heed::recurrences
