// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood.hpp"

TEST_CASE("neighbourhoods, specs 6 and 7") {
  heed::fuzz::fuzz<6, 2, heed::fuzz::grid_forward, heed::fuzz::grid_table>();
}
