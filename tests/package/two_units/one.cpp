// SPDX-License-Identifier: BSL-1.0
#include "everything.hpp"

int version_of_two();

int main() { return HEED_VERSION == version_of_two() ? 0 : 1; }
