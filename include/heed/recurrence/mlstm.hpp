// SPDX-License-Identifier: BSL-1.0
// recurrence/mlstm: C_t = f_t C_{t-1} + i_t k_t v_tᵀ, n_t = f_t n_{t-1} + i_t k_t, i = e^ĩ, o = Cᵀq
// / max(|n·q|, 1), q over √D; kept relative to the largest gate so far, e^m, so that nothing
// overflows.
//
//   scan(recurrences::mlstm(as<"BHL">(log_f), as<"BHL">(input), depth), q, k, v, out, state);
//
// The output gate is the caller's. 4 Dk·Dv flops a token and C (Dk + Dv) for chunks of C; shapes
// and what throws as `scan`. xLSTM (Beck et al. 2024).
#pragma once

#include <heed/recurrence/decay/exponential_gate.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// log_f, input (ĩ) [B,H,L]; depth: channels of q.
inline auto mlstm(const operand& log_f, const operand& input, index depth) {
  return recurrence{.decay = exponential_gate{log_f, input},
                    .readout = bounded_readout{},
                    .scale = 1 / std::sqrt(double(depth))};
}

}  // namespace heed::recurrences
