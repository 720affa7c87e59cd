// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 0 and 1") {
  heed::fuzz::fuzz<0, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
