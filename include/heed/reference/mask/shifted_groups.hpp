// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// S²-Attn of one head: tokens rolled by −shift, causal inside groups of g, rolled back. The first
/// n tokens see and are seen by what a causal mask leaves. With `parted` the group that holds both
/// ends of the sequence is two groups.
inline allowed shifted_groups(index lq, index lk, index g, index shift, index n, bool parted) {
  indices order;  // rolled: which token stands at place t
  for (index t = 0; t < lk; ++t) order.push_back((t + shift) % lk);
  allowed full = allowed::Constant(lk, lk, false);
  for (index s = 0; s < lk; ++s)
    for (index t = 0; t <= s; ++t) {
      const index i = order[static_cast<std::size_t>(s)], j = order[static_cast<std::size_t>(t)];
      if (s / g == t / g && (!parted || j <= i)) full(i, j) = true;
      if (parted && i < shift && j >= shift) full(i, j) = false;
    }
  return where(lq, lk, [&](index i, index j) {
    return (j <= i && (i < n || j < n)) || (i >= 0 && full(i, j));
  });
}

}  // namespace heed::reference::mask
