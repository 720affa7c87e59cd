// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 1") {
  fuzz_recurrences<recurrence<none, exponential_gate, additive_update, bounded_readout>,
                   recurrence<taylor_feature, exponential_gate, additive_update, direct_readout>,
                   recurrence<elu1_feature, exponential_gate, additive_update, normalised_readout>>(
      1);
}

}  // namespace heed::fuzz
