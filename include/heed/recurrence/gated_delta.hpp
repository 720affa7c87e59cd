// SPDX-License-Identifier: BSL-1.0
// recurrence/gated_delta: S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, o = Sᵀq / √D: the
// delta rule that also forgets, by one α in (0, 1] a token and head.
//
//   scan(recurrences::gated_delta(as<"BHL">(log_alpha), as<"BHL">(beta), depth), q, k, v, out,
//   state);
//
// Keys of length 1 and β in [0, 2], or S grows without bound. 6 Dk·Dv flops a token and
// 2 C (Dk + Dv) for chunks of C; shapes and what throws as `scan`. Yang et al. 2024.
#pragma once

#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

namespace heed::recurrences {

// log_alpha, beta [B,H,L]; depth: channels of q. q and k given with length 1, or through the
// feature.
inline auto gated_delta(const operand& log_alpha, const operand& beta, index depth) {
  return recurrence{.decay = scalar_decay{log_alpha},
                    .update = delta_update{beta},
                    .scale = 1 / std::sqrt(double(depth))};
}

}  // namespace heed::recurrences
