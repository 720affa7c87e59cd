// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 36 to 39") { heed::fuzz::fuzz<36, 4>(); }
