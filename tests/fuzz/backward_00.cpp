// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 0 to 3") { heed::fuzz::fuzz_backward<0, 4>(); }
