// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 8 to 11") { heed::fuzz::fuzz_backward<8, 4>(); }
