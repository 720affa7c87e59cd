// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 24 to 27") { heed::fuzz::fuzz<24, 4>(); }
