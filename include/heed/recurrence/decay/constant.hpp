// SPDX-License-Identifier: BSL-1.0
// decay of one constant a head: S_t = λ_h S_{t-1} + …, given as log λ [H] (or one for all). RetNet
// (Sun et al. 2023), Lightning Attention (Qin et al. 2024).
#pragma once

#include <heed/recurrence/decay/concept.hpp>

namespace heed {

struct constant_decay {
  operand log;  // [1, H|1, 1, 1], <= 0
  static constexpr const char* name = "scalar decay";
  static constexpr decay_kind kind = decay_kind::scalar;
};

}  // namespace heed
