// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 16 to 19") { heed::fuzz::fuzz_backward<16, 4>(); }
