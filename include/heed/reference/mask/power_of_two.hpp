// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

inline bool is_power_of_two(index n) {
  index power = 1;
  while (power < n) power *= 2;
  return n >= 1 && power == n;
}

/// j ≤ i, and blocks of b tokens 0 or 2^p apart, or less than w, or the first s (PowerAttention).
inline allowed power_of_two(index lq, index lk, index b, index w, index s) {
  return where(lq, lk, [=](index i, index j) {
    if (j > i) return false;
    const index apart = i / b - j / b;
    return apart == 0 || is_power_of_two(apart) || apart < w || j / b < s;
  });
}

/// j = i or i − j = 2^p.
inline allowed power_of_two_tokens(index lq, index lk) {
  return where(lq, lk, [](index i, index j) { return i == j || is_power_of_two(i - j); });
}

}  // namespace heed::reference::mask
