// SPDX-License-Identifier: BSL-1.0
// readout/bonus: o_t = (S_{t-1} + diag(u) k_t v_tᵀ)ᵀ q_t: S is read before it decays and is
// updated, the token itself through u. RWKV-5 and RWKV-6 (Peng et al. 2024).
#pragma once

#include <heed/core/storage.hpp>

namespace heed {

struct bonus_readout {
  static constexpr const char* name = "direct";  // the state is the same
  operand u;                                     // [1, H|1, 1, Dk|1]
};

}  // namespace heed
