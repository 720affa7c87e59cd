// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 6 and 7") {
  heed::fuzz::fuzz<6, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
