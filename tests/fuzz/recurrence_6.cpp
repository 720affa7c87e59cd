// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 6") {
  fuzz_recurrences<recurrence<random_feature, channel_decay, additive_update, normalised_readout>,
                   recurrence<l2_norm_feature, none, additive_update, bounded_readout>,
                   recurrence<elu1_feature, constant_decay, additive_update, normalised_readout>>(
      6);
}

}  // namespace heed::fuzz
