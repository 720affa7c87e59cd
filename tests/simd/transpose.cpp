// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <heed/simd/transpose.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;

TEMPLATE_TEST_CASE("transpose scales, reads and writes what it names and nothing else", "",
                   HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for (heed::index rows : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33})
    for (heed::index columns : {0, 1, 2, 3, 4, 7, 8, 9, 16, 23, 24, 33, 64})
      for (heed::index gap : {0, 3}) {
        const auto in = matrix<T>::random(rows, columns, columns + gap);
        matrix<T> out(columns, rows, rows + gap), expected(columns, rows, rows + gap);
        for (heed::index r = 0; r < rows; ++r)
          for (heed::index c = 0; c < columns; ++c) expected(c, r) = in(r, c) * T(0.25);
        heed::simd::transpose<T, Arch>(in.begin(), in.stride, rows, columns, T(0.25), out.begin(),
                                       out.stride);
        INFO(rows << " x " << columns << ", gap " << gap);
        CHECK(difference(out, expected) == 0);
        CHECK(out.gaps_untouched());
      }
}
