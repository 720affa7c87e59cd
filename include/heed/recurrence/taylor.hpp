// SPDX-License-Identifier: BSL-1.0
// recurrence/taylor: linear attention with the Taylor features of the exponential, normalised.
// Based (Arora et al. 2024).
#pragma once

#include <heed/recurrence/feature/taylor.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

inline auto taylor(int order = 2, double epsilon = 1e-12) {
  return recurrence{.feature = taylor_feature{order}, .readout = normalised_readout{epsilon}};
}

}  // namespace heed::recurrences
