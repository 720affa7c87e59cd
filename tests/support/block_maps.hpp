// SPDX-License-Identifier: BSL-1.0
// What tests of block maps share.
#pragma once

#include <heed/mask/block_map.hpp>
#include <sstream>

#include "support/head_of.hpp"

namespace heed::test {

inline problem_shape shape_of(index queries, index keys, index batch = 1, index heads = 4) {
  return {.batch = batch,
          .heads = heads,
          .kv_heads = 2,
          .queries = queries,
          .keys = keys,
          .offset = keys - queries};
}
template <class Map> std::string printed(const Map& map) {
  std::ostringstream to;
  to << map;
  return to.str();
}
inline reference::allowed allowed_of(const drawing& rows, index keys) {
  reference::allowed a(index(rows.size()), keys);
  for (index r = 0; r < a.rows(); ++r)
    for (index k = 0; k < keys; ++k) a(r, k) = rows[std::size_t(r)][std::size_t(k)] == 'x';
  return a;
}

inline const std::vector<block_size>& sizes() {
  static const std::vector<block_size> all = {{1, 1}, {3, 5}, {24, 64}, {64, 16}, {500, 500}};
  return all;
}

}  // namespace heed::test
