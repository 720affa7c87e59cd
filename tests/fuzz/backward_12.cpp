// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 12 to 15") { heed::fuzz::fuzz_backward<12, 4>(); }
