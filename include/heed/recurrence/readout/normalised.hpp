// SPDX-License-Identifier: BSL-1.0
// readout/normalised: o = Sᵀq / (zᵀq + ε), z = the same recurrence with v = 1. Linear attention
// (Katharopoulos et al. 2020). Where the divisor is 0 the output is.
#pragma once

namespace heed {

struct normalised_readout {
  static constexpr bool sums_keys = true;
  static constexpr const char* name = "normalised";
  double epsilon = 0;
};

}  // namespace heed
