// SPDX-License-Identifier: BSL-1.0
// recurrence/mlstm: C_t = f_t C_{t-1} + i_t k v_tᵀ, i = e^ĩ; o = Cᵀq / max(|n·q|, e^-m), q over √D.
// xLSTM (Beck et al. 2024).
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
