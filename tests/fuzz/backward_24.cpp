// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 24 to 27") { heed::fuzz::fuzz_backward<24, 4>(); }
