// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// j ≤ i, query row r at i = r + offset.
inline allowed causal(index lq, index lk, index offset) {
  return where(lq, lk, offset, [](index i, index j) { return j <= i; });
}

/// Bottom-right, i = r + Lk − Lq: with two rows and three keys  "xx."
///                                                              "xxx".
inline allowed causal(index lq, index lk) { return causal(lq, lk, bottom_right(lq, lk)); }

/// Top-left, i = r: with two rows and three keys  "x.."
///                                                "xx.".
inline allowed causal_top_left(index lq, index lk) { return causal(lq, lk, 0); }

}  // namespace heed::reference::mask
