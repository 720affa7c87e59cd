// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// i − left ≤ j ≤ i + right, query row r at i = r + offset (Longformer, Mistral); right = 0 is
/// causal.
inline allowed window(index lq, index lk, index left, index right, index offset) {
  return where(lq, lk, offset, [=](index i, index j) { return i - left <= j && j <= i + right; });
}

/// Bottom-right: i = r + Lk − Lq.
inline allowed window(index lq, index lk, index left, index right) {
  return window(lq, lk, left, right, bottom_right(lq, lk));
}

}  // namespace heed::reference::mask
