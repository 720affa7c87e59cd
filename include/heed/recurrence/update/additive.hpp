// SPDX-License-Identifier: BSL-1.0
// update/additive: S ← S + k vᵀ.
#pragma once

namespace heed {

struct additive_update {
  static constexpr const char* name = "additive";
};

}  // namespace heed
