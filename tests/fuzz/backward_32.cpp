// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 32 to 35") { heed::fuzz::fuzz_backward<32, 4>(); }
