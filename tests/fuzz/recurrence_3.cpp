// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 3") {
  fuzz_recurrences<recurrence<none, channel_decay, low_rank_update, direct_readout>,
                   recurrence<l2_norm_feature, scalar_decay, low_rank_update, mean_readout>,
                   recurrence<none, none, low_rank_update, direct_readout>>(3);
}

}  // namespace heed::fuzz
