// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 5") {
  fuzz_recurrences<recurrence<random_feature, none, additive_update, normalised_readout>,
                   recurrence<elu1_feature, none, additive_update, normalised_readout>,
                   recurrence<relu_feature, none, additive_update, mean_readout>>(5);
}

}  // namespace heed::fuzz
