// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 4 and 5") {
  heed::fuzz::fuzz<4, 2, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
