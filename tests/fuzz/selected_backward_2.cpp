// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("gradients of selected blocks, specs 2 and 3") {
  heed::fuzz::fuzz<2, 2, heed::fuzz::selected_backward, heed::fuzz::selected_table>();
}
