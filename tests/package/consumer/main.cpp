// SPDX-License-Identifier: BSL-1.0
#include <heed/version.hpp>

int main() { return HEED_VERSION > 0 ? 0 : 1; }
