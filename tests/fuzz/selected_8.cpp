// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 8 and 9") {
  heed::fuzz::fuzz<8, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
