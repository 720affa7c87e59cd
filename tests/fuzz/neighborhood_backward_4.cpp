// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood_backward.hpp"

TEST_CASE("gradients of neighbourhoods, specs 4 and 5") {
  heed::fuzz::fuzz<4, 2, heed::fuzz::grid_backward, heed::fuzz::grid_table>();
}
