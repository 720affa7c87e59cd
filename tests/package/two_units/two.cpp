// SPDX-License-Identifier: BSL-1.0
#include "unit.hpp"

std::vector<float> attend_in_two() { return attend_here(); }
