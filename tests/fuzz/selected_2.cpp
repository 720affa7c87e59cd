// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 2 and 3") {
  heed::fuzz::fuzz<2, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
