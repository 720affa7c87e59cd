// SPDX-License-Identifier: BSL-1.0
// readout/direct: o = Sᵀq, after the update.
#pragma once

namespace heed {

struct direct_readout {
  static constexpr const char* name = "direct";
};

}  // namespace heed
