// SPDX-License-Identifier: BSL-1.0
#include "fuzz/run.hpp"

TEST_CASE("specs 28 to 31") { heed::fuzz::fuzz<28, 4>(); }
