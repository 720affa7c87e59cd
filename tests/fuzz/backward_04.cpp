// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 4 to 7") { heed::fuzz::fuzz_backward<4, 4>(); }
