// SPDX-License-Identifier: BSL-1.0
#include "fuzz/neighborhood_backward.hpp"

TEST_CASE("gradients of neighbourhoods, specs 2 and 3") {
  heed::fuzz::fuzz<2, 2, heed::fuzz::grid_backward, heed::fuzz::grid_table>();
}
