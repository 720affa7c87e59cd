// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 4") {
  fuzz_recurrences<recurrence<none, channel_decay, additive_update, bonus_readout>,
                   recurrence<relu_feature, scalar_decay, additive_update, bonus_readout>,
                   recurrence<none, channel_decay, low_rank_update, bonus_readout>>(4);
}

}  // namespace heed::fuzz
