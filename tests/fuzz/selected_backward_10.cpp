// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("gradients of selected blocks, specs 10 and 11") {
  heed::fuzz::fuzz<10, 2, heed::fuzz::selected_backward, heed::fuzz::selected_table>();
}
