// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected.hpp"

TEST_CASE("selected blocks, specs 10 and 11") {
  heed::fuzz::fuzz<10, 2, heed::fuzz::selected_forward, heed::fuzz::selected_table>();
}
