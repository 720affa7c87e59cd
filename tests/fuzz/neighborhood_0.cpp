// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 0 to 2") {
  heed::fuzz::fuzz<0, 3, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
