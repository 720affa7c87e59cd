// SPDX-License-Identifier: BSL-1.0
#include "unit.hpp"

std::vector<float> attend_in_two();

int main() { return attend_here() == attend_in_two() ? 0 : 1; }
