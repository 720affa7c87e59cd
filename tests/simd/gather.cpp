// SPDX-License-Identifier: BSL-1.0
#include <heed/simd/gather.hpp>

#include "support/exact.hpp"

using namespace heed::test;
namespace simd = heed::simd;

namespace {

template <class T, class Arch> void check_columns() {
  constexpr heed::index W = simd::width<T, Arch>, pitch = 3 * W, entries = 29;
  const auto table = random<T>({1, 1, entries, pitch}, 1);
  for (heed::index column = 0; column < pitch; column += W) {
    T entry[W], got[W];
    for (heed::index i = 0; i < W; ++i) entry[i] = T((7 * i + 5 * column) % entries);
    const T* const p = table.data.data() + column;
    simd::store(got, simd::gather_columns<T, Arch>(p, simd::load<T, Arch>(entry), pitch));
    auto sum = table;
    simd::add_to_columns<T, Arch>(sum.data.data() + column, simd::load<T, Arch>(entry), pitch,
                                  simd::batch<T, Arch>(T(2)));
    for (heed::index i = 0; i < W; ++i) {
      const auto e = static_cast<heed::index>(entry[i]);
      CHECK(got[i] == table.in()(0, 0, e, column + i));
      CHECK(sum(0, 0, e, column + i) == table.in()(0, 0, e, column + i) + T(2));
      sum(0, 0, e, column + i) = table.in()(0, 0, e, column + i);
    }
    CHECK(sum.data == table.data);
  }
}

}  // namespace

TEST_CASE("every lane has a column of its own") {
  check_columns<float, simd::best>();
  check_columns<double, simd::best>();
  check_columns<float, simd::scalar>();
}
