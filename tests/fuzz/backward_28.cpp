// SPDX-License-Identifier: BSL-1.0
#include "fuzz/backward.hpp"

TEST_CASE("gradients of specs 28 to 31") { heed::fuzz::fuzz_backward<28, 4>(); }
