// SPDX-License-Identifier: BSL-1.0
#include "everything.hpp"

int version_of_two() { return HEED_VERSION; }
