// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 20 to 23") { heed::fuzz::fuzz<20, 4>(); }
