// SPDX-License-Identifier: BSL-1.0
#include "folder.hpp"

namespace bench {
std::filesystem::path folder() { return HEED_BENCH_DIR; }
}  // namespace bench
