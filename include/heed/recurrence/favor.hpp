// SPDX-License-Identifier: BSL-1.0
// recurrence/favor: linear attention with positive random features, normalised. Performer
// (Choromanski et al. 2020).
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
