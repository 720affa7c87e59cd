// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 4 to 7") { heed::fuzz::fuzz<4, 4>(); }
