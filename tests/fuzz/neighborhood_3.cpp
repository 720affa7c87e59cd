// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 3 to 5") {
  heed::fuzz::fuzz<3, 3, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
