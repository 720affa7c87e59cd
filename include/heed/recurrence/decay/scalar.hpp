// SPDX-License-Identifier: BSL-1.0
// decay of one number a token and head: S_t = α_t S_{t-1} + …, given as log α [B,H,L]. Mamba-2 (Dao
// and Gu 2024), gated delta rule (Yang et al. 2024).
#pragma once

#include <heed/recurrence/decay/concept.hpp>

namespace heed {

struct scalar_decay {
  operand log;  // [B|1, H|1, L, 1], <= 0; minus infinity forgets
  static constexpr const char* name = "scalar decay";
  static constexpr decay_kind kind = decay_kind::scalar;
};

}  // namespace heed
