// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>
#include <string>

namespace heed::reference::mask {

/// A line for each block of rows between ascending bounds, a mark for each block of keys: '.' where
/// no pair is allowed, '#' where all are, '+' where some are.
inline std::string block_map(const allowed& a, const indices& rows, const indices& keys) {
  std::string map;
  for (std::size_t r = 0; r + 1 < rows.size(); ++r) {
    for (std::size_t k = 0; k + 1 < keys.size(); ++k) {
      const auto block = a.block(rows[r], keys[k], rows[r + 1] - rows[r], keys[k + 1] - keys[k]);
      map += block.all() ? '#' : block.any() ? '+' : '.';
    }
    map += '\n';
  }
  return map;
}

/// Bounds 0, size, 2 · size, … , n.
inline indices even_bounds(index size, index n) {
  indices bounds{0};
  while (bounds.back() < n) bounds.push_back(bounds.back() + size < n ? bounds.back() + size : n);
  return bounds;
}

}  // namespace heed::reference::mask
