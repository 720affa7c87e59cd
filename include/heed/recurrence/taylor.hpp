// SPDX-License-Identifier: BSL-1.0
// recurrence/taylor: linear attention, normalised, with the Taylor features of the exponential,
// φ(q)·φ(k) = 1 + z + z²/2, z = q·k / √D (feature/taylor).
//
//   scan(recurrences::taylor(), q, k, v, out);
//
// 4 M·Dv flops a token, M = 1 + D + D (D + 1) / 2 features of order 2: for small D; shapes and what
// throws as `scan`. Based (Arora et al. 2024).
#pragma once

#include <heed/recurrence/feature/taylor.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

inline auto taylor(int order = 2, double epsilon = 1e-12) {
  return recurrence{.feature = taylor_feature{order}, .readout = normalised_readout{epsilon}};
}

}  // namespace heed::recurrences
