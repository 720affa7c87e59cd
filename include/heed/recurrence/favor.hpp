// SPDX-License-Identifier: BSL-1.0
// recurrence/favor: linear attention, normalised, with positive random features φ whose products
// estimate e^{q·k} (feature/random).
//
//   scan(recurrences::favor(omega, features), q, k, v, out);
//
// Linear in the features: 4 M·Dv flops a token for M of them, and M·D for φ; shapes and what throws
// as `scan`. Performer (Choromanski et al. 2020).
#pragma once

#include <heed/recurrence/feature/random.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

// omega [features, D]
inline auto favor(const parameters& omega, index features, double epsilon = 0) {
  return recurrence{.feature = random_feature{omega, features},
                    .readout = normalised_readout{epsilon}};
}

}  // namespace heed::recurrences
