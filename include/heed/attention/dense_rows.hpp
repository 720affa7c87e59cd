// SPDX-License-Identifier: BSL-1.0
// Rows that a call makes for itself: row-major in a vector, and from there to where they belong.
#pragma once

#include <heed/simd/convert.hpp>
#include <vector>

namespace heed::detail {

template <class T> view<T> dense_rows(std::vector<T>& memory, const extents& e) {
  memory.resize(static_cast<std::size_t>(e[0] * e[1] * e[2] * e[3]));
  return {memory.data(), e};
}

template <class T> void store_dense(const std::vector<T>& from, const result& to) {
  const extents& e = to.extent;
  const T* row = from.data();
  for (index b = 0; b < e[0]; ++b)
    for (index h = 0; h < e[1]; ++h)
      for (index l = 0; l < e[2]; ++l, row += e[3])
        simd::store_row(to.type, row, e[3], to.row(b, h, l), to.stride[3]);
}

}  // namespace heed::detail
