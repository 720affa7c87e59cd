// SPDX-License-Identifier: BSL-1.0
#include "fuzz/recurrence.hpp"

namespace heed::fuzz {

TEST_CASE("recurrences 7") {
  fuzz_recurrences<recurrence<taylor_feature, scalar_decay, additive_update, normalised_readout>,
                   recurrence<none, none, additive_update, bonus_readout>,
                   recurrence<taylor_feature, none, delta_update, direct_readout>>(7);
}

}  // namespace heed::fuzz
