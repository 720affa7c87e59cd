// SPDX-License-Identifier: BSL-1.0
// recurrence/retention: S_t = λ_h S_{t-1} + k_t v_tᵀ, o_t = Sᵀq_t = Σ_{s<=t} λ_h^{t-s} (q_t·k_s)
// v_s, one λ in (0, 1] a head.
//
//   scan(recurrences::retention(as<"H">(log_lambda), 1 / std::sqrt(depth)), q, k, v, out, state);
//
// 4 Dk·Dv flops a token and C (Dk + Dv) for chunks of C; shapes and what throws as `scan`.
// Rotations and the norm of each head are the caller's. RetNet (Sun et al. 2023); Lightning
// Attention (Qin et al. 2024) and TransNormer with their own λ.
#pragma once

#include <heed/recurrence/decay/constant.hpp>
#include <heed/recurrence/feature/elementwise.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_lambda [1, H|1, 1, 1]
inline auto retention(const operand& log_lambda, double scale = 1) {
  return recurrence{.decay = constant_decay{log_lambda}, .scale = scale};
}
// q and k through SiLU, as TransNormer and Lightning Attention do.
inline auto lightning(const operand& log_lambda) {
  return recurrence{.feature = silu_feature{}, .decay = constant_decay{log_lambda}};
}
// log λ_h = log(1 - 2^(-5-h)) of RetNet.
inline double retnet_log_decay(index head) { return std::log1p(-std::exp2(-5.0 - double(head))); }

}  // namespace heed::recurrences
