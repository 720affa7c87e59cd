// SPDX-License-Identifier: BSL-1.0
// Where the sources of the benches lie. One object knows, so that a cache serves any clone.
#pragma once

#include <filesystem>

namespace bench {
std::filesystem::path folder();
}
