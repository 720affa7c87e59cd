// SPDX-License-Identifier: BSL-1.0
// update/low_rank: S_t = diag(w_t) S_{t-1} + b_t (S_{t-1}ᵀ a_t)ᵀ + k_t v_tᵀ: the transition is
// diagonal plus rank one, and reads S before it decays. RWKV-7 (Peng et al. 2025): a = -k̂, b = k̂ ⊙
// a.
#pragma once

#include <heed/core/storage.hpp>

namespace heed {

struct low_rank_update {
  static constexpr const char* name = "low rank";
  operand a, b;  // what is read, where it is written: [B|1, H|1, L, Dk]
};

}  // namespace heed
