// SPDX-License-Identifier: BSL-1.0
// recurrence/ssd: Mamba-2, S_t = e^{Δ_t A_h} S_{t-1} + B_t (Δ_t x_t)ᵀ, y = C_tᵀ S_t: q = C, k = B
// (their heads may be shared), v = Δx; D x is the caller's. Dao and Gu 2024.
#pragma once

#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// delta_a = Δ_t A_h [B,H,L]
inline auto ssd(const operand& delta_a) { return recurrence{.decay = scalar_decay{delta_a}}; }

}  // namespace heed::recurrences
