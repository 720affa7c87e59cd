// SPDX-License-Identifier: BSL-1.0
#include "fuzz/selected_backward.hpp"

TEST_CASE("what is hidden from selected blocks, specs 0 to 3") {
  heed::fuzz::fuzz<0, 4, heed::fuzz::selected_hidden, heed::fuzz::selected_table>();
}
