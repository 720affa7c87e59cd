// SPDX-License-Identifier: BSL-1.0
// What a call writes.
#pragma once

#include <heed/attention/observer.hpp>

namespace heed {

// out [B,H,Lq,Dv] is required; lse [B,H,Lq] = log Σ_j e^{s_ij} only if present.
struct outputs {
  result out{};
  result lse{};
  observer* observe = nullptr;
};

}  // namespace heed
