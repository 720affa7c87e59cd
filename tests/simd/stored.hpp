// SPDX-License-Identifier: BSL-1.0
// Rows of random numbers in a storage type; the gaps between rows hold NaN.
#pragma once

#include <cstring>
#include <heed/kv/stored.hpp>
#include <heed/simd/convert.hpp>

#include "simd/buffer.hpp"

namespace heed::test {

struct stored_matrix {
  std::vector<unsigned char> bytes;
  stored_rows rows;

  // Rows `gap` elements further apart than they are long.
  stored_matrix(kv_type type, index count, index columns, index gap)
      : bytes(static_cast<std::size_t>(count > 0 && columns > 0
                                           ? (count - 1) * bytes_of(type, columns + gap) +
                                                 bytes_of(type, columns)
                                           : 0)) {
    rows.data = bytes.data(), rows.type = type, rows.stride = bytes_of(type, columns + gap);
    const index size = bytes_of(type, 1), all = index(bytes.size()) / size;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto x = matrix<double>::random(1, all, all);
    for (index i = 0; i < all; ++i) put(i * size, i % (columns + gap) < columns ? x(0, i) : nan);
  }
  stored_matrix(const stored_matrix&) = delete;
  void set(index j, index c, double x) { put(j * rows.stride + c * bytes_of(rows.type, 1), x); }

 private:
  void put(index at, double x) {
    simd::store_row(static_cast<element>(rows.type), &x, 1, bytes.data() + at, 1);
  }
};

}  // namespace heed::test
