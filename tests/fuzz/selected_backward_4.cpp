// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("gradients of selected blocks, specs 4 and 5") {
  heed::fuzz::fuzz<4, 2, heed::fuzz::selected_backward, heed::fuzz::selected_table>();
}
