// SPDX-License-Identifier: BSL-1.0
// decay f_t and input gain e^ĩ_t, kept in range by a running maximum m:
//
//   m_t = max(log f_t + m_{t-1}, ĩ_t)
//   S_t = e^{log f_t + m_{t-1} - m_t} S_{t-1} + e^{ĩ_t - m_t} k vᵀ
//
// so S is stored times e^-m, and every exponent is at most 0. Given as log f and ĩ [B,H,L]. xLSTM
// (Beck et al. 2024).
#pragma once

#include <heed/recurrence/decay/concept.hpp>

namespace heed {

struct exponential_gate {
  operand log;   // log f [B|1, H|1, L|1, 1], <= 0
  operand gain;  // ĩ [B|1, H|1, L, 1], any number
  static constexpr const char* name = "exponential gate";
  static constexpr decay_kind kind = decay_kind::scalar;
};

}  // namespace heed
