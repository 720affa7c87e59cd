// SPDX-License-Identifier: BSL-1.0
// recurrence/ssd: Mamba-2, S_t = e^{Δ_t A_h} S_{t-1} + B_t (Δ_t x_t)ᵀ, y = C_tᵀ S_t.
//
//   scan(recurrences::ssd(as<"BHL">(delta_a)), c, b, delta_x, y, state);   // q = C, k = B, v = Δx
//
// Heads of B and C may be shared: [B,1,L,N]. D x, the convolution and the gate are the caller's.
// 4 N·P flops a token and C (N + P) for chunks of C; shapes and what throws as `scan`. Dao and Gu
// 2024.
#pragma once

#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// delta_a = Δ_t A_h [B,H,L]
inline auto ssd(const operand& delta_a) { return recurrence{.decay = scalar_decay{delta_a}}; }

}  // namespace heed::recurrences
