// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 0 and 1") {
  heed::fuzz::fuzz<0, 2, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
