// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::mask {

/// Every query sees every key.
inline allowed full(index lq, index lk) { return allowed::Constant(lq, lk, true); }

}  // namespace heed::reference::mask
