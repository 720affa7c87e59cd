// SPDX-License-Identifier: BSL-1.0
// readout/bounded: o = Sᵀq / max(|zᵀq|, e^-m), m the running maximum of `exponential_gate` (1 is
// the bound without one). mLSTM (Beck et al. 2024).
#pragma once

namespace heed {

struct bounded_readout {
  static constexpr bool sums_keys = true;
  static constexpr const char* name = "bounded";
};

}  // namespace heed
