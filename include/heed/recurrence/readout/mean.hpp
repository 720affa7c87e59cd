// SPDX-License-Identifier: BSL-1.0
// readout/mean: o_t = Sᵀq / t, t = tokens seen: the mean over keys, as in linear self-attention
// theory (1/n, or 1/ρ_t with ρ_t = t when causal).
#pragma once

namespace heed {

struct mean_readout {
  static constexpr const char* name = "direct";  // the state is the same
};

}  // namespace heed
