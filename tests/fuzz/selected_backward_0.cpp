// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("gradients of selected blocks, specs 0 and 1") {
  heed::fuzz::fuzz<0, 2, heed::fuzz::selected_backward, heed::fuzz::selected_table>();
}
