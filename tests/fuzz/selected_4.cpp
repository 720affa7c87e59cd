// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 4 and 5") {
  heed::fuzz::fuzz<4, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
