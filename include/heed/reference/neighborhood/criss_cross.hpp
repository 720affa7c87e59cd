// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::neighborhood {

/// The set Ω_u of CCNet (Huang et al.) for every place u of the grid: the places reached from u by
/// changing one coordinate, u itself included. [L×L], L = Π size.
inline allowed criss_cross(const indices& size) {
  index tokens = 1;
  for (const index n : size) tokens *= n;
  allowed a = allowed::Constant(tokens, tokens, false);
  index step = 1;
  for (std::size_t n = size.size(); n-- > 0; step *= size[n])
    for (index u = 0; u < tokens; ++u) {
      const index start = u - u / step % size[n] * step;
      for (index i = 0; i < size[n]; ++i) a(u, start + i * step) = true;
    }
  return a;
}

}  // namespace heed::reference::neighborhood
