// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 0") {
  fuzz_recurrences<recurrence<none, none, additive_update, direct_readout>,
                   recurrence<elu1_feature, scalar_decay, additive_update, normalised_readout>,
                   recurrence<silu_feature, channel_decay, additive_update, bounded_readout>>(0);
}

}  // namespace heed::fuzz
