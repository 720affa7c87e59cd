// SPDX-License-Identifier: BSL-1.0
#include "unit.hpp"

std::vector<float> attend_and_scan_in_two() { return attend_and_scan(); }
