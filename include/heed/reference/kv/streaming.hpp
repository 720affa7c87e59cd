// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/kv/cache.hpp>

namespace heed::reference::kv {

/// The first tokens and the last `window` of all that were ever appended, at positions 0, 1, …
inline head streaming(const head& all, index first, index window) {
  indices tokens;
  for (index t = 0; t < all.k.rows(); ++t)
    if (t < first || t >= all.k.rows() - window) tokens.push_back(t);
  head h = all.kept(tokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) h.positions[i] = static_cast<index>(i);
  return h;
}

}  // namespace heed::reference::kv
