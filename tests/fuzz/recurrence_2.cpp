// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 2") {
  fuzz_recurrences<recurrence<l2_norm_feature, scalar_decay, delta_update, direct_readout>,
                   recurrence<l2_norm_feature, channel_decay, delta_update, mean_readout>,
                   recurrence<none, none, delta_update, direct_readout>>(2);
}

}  // namespace heed::fuzz
