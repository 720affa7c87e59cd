// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 12 to 15") { heed::fuzz::fuzz<12, 4>(); }
