// SPDX-License-Identifier: BSL-1.0
// update/delta: S ← S + β k (v - Sᵀk)ᵀ, the decayed S corrected where it errs: one step of gradient
// descent on ‖Sᵀk - v‖² / 2. β in (0, 1), or (0, 2) for reflections; k of length 1 keeps S bounded.
// DeltaNet (Schlag et al. 2021; Yang et al. 2024).
#pragma once

#include <heed/core/storage.hpp>

namespace heed {

struct delta_update {
  static constexpr const char* name = "delta";
  operand beta;  // [B|1, H|1, L|1, 1]
};

}  // namespace heed
