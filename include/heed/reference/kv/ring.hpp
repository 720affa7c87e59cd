// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/kv/cache.hpp>

namespace heed::reference::kv {

/// The last `window` tokens of all that were ever appended, at their own positions.
inline head ring(const head& all, index window) {
  indices tokens;
  for (index t = std::max<index>(0, all.k.rows() - window); t < all.k.rows(); ++t)
    tokens.push_back(t);
  return all.kept(tokens);
}

}  // namespace heed::reference::kv
