// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 36 to 39") { heed::fuzz::fuzz_backward<36, 4>(); }
