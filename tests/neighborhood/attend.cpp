// SPDX-License-Identifier: BSL-1.0
// Neighbourhood attention in one, two and three dimensions against its reference.
#include "support/neighborhood.hpp"

using namespace heed::test;

namespace {

// Primes, one, and both sides of one and of two vectors.
constexpr heed::index widths[] = {5, 7, 8, 13, 16, 17, 24, 31, 33, 40};
constexpr heed::index windows[] = {1, 2, 3, 4, 5, 7, 8, 12, 13};

}  // namespace

TEMPLATE_TEST_CASE("one dimension", "", float, double) {
  for (const heed::index x : widths)
    for (const heed::index w : windows)
      if (w <= x) check_attend<TestType>(grid_case<1>{{{x}, {w}}, 2, 2, 1, 5, 3});
  check_attend<TestType>(grid_case<1>{{{1}, {1}}, 2, 1, 1, 3, 2});
  check_attend<TestType>(grid_case<1>{{{700}, {9}}, 1, 2, 2, 16, 16});
  draws from(1);
  for (int n = 0; n < 60; ++n)
    check_attend<TestType>(grid_case<1>{draw_windows<1>({from.from(1, 60)}, from), 1, 2, 2,
                                        from.from(1, 20), from.from(1, 20)});
}

TEMPLATE_TEST_CASE("two dimensions", "", float, double) {
  for (const heed::index x : widths)
    for (const heed::index w : windows)
      if (w <= x) {
        const heed::index y = w % 4 + 1, height = y + x % 5;
        check_attend<TestType>(grid_case<2>{{{height, x}, {y, w}}, 1, 2, 1, 6, 9});
      }
  for (const heed::index w : {7, 13})
    check_attend<TestType>(grid_case<2>{{{29, 37}, {w, w}}, 1, 1, 1, 32, 32});
  draws from(2);
  for (int n = 0; n < 80; ++n)
    check_attend<TestType>(grid_case<2>{draw_windows<2>({from.from(1, 12), from.from(1, 40)}, from),
                                        from.from(1, 2), from.from(1, 2) * 2, 2, from.from(1, 20),
                                        from.from(1, 20)});
}

TEST_CASE("three dimensions") {
  for (const heed::index x : widths)
    check_attend<float>(grid_case<3>{{{3, 4, x}, {2, 3, 5}}, 1, 2, 1, 6, 9});
  check_attend<float>(grid_case<3>{{{6, 9, 18}, {3, 5, 7}}, 1, 1, 1, 16, 16});
  draws from(3);
  for (int n = 0; n < 60; ++n)
    check_attend<float>(
        grid_case<3>{draw_windows<3>({from.from(1, 5), from.from(1, 6), from.from(1, 20)}, from), 1,
                     2, from.from(1, 2), from.from(1, 12), from.from(1, 12)});
}
