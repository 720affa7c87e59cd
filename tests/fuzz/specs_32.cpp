// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 32 to 35") { heed::fuzz::fuzz<32, 4>(); }
