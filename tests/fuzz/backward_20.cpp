// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 20 to 23") { heed::fuzz::fuzz_backward<20, 4>(); }
