// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("gradients of selected blocks, specs 8 and 9") {
  heed::fuzz::fuzz<8, 2, heed::fuzz::selected_backward, heed::fuzz::selected_table>();
}
