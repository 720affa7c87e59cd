// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 16 to 19") { heed::fuzz::fuzz<16, 4>(); }
