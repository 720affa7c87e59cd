// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 0 to 3") { heed::fuzz::fuzz<0, 4>(); }
