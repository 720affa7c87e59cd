// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 2 and 3") {
  heed::fuzz::fuzz<2, 2, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
