// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// j ≤ i ∧ (i − j < l ∨ (i − j) mod l = 0): the strided pattern of Child et al.
inline allowed strided(index lq, index lk, index l) {
  return where(lq, lk, [=](index i, index j) { return j <= i && (i - j < l || (i - j) % l == 0); });
}

/// j ≤ i ∧ (⌊j/l⌋ = ⌊i/l⌋ ∨ j mod l ∈ {l − c, …, l − 1}): the fixed pattern.
inline allowed fixed_strided(index lq, index lk, index l, index c) {
  return where(lq, lk,
               [=](index i, index j) { return j <= i && (j / l == i / l || j % l >= l - c); });
}

/// j = i − n · step for n in {−right, …, left}.
inline allowed dilated_window(index lq, index lk, index left, index right, index step) {
  return where(lq, lk, [=](index i, index j) {
    for (index n = -right; n <= left; ++n)
      if (j == i - n * step) return true;
    return false;
  });
}

}  // namespace heed::reference::mask
