// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 8 to 11") { heed::fuzz::fuzz<8, 4>(); }
