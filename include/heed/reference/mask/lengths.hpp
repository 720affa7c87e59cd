// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// Padding: r < length_q and j < length_k of this batch item; rows past the end see nothing.
inline allowed lengths(index lq, index lk, index length_q, index length_k) {
  return where(lq, lk, 0, [=](index r, index j) { return r < length_q && j < length_k; });
}

}  // namespace heed::reference::mask
