// SPDX-License-Identifier: BSL-1.0
// Neighbourhood attention over head widths, element types and strides, and on what it must not
// read.
#include <heed/eigen.hpp>

#include "support/neighborhood.hpp"

using namespace heed::test;
using heed::neighborhood;

TEST_CASE("the widths of heads") {
  for (const heed::index d : {1, 3, 16, 33, 64, 100})
    for (const heed::index dv : {1, 8, 17, 64}) {
      check_attend<float>(grid_case<2>{{{5, 19}, {3, 5}}, 1, 2, 1, d, dv});
      check_attend<float>(grid_case<2>{{{6, 8}, {4, 4}, {2, 4}}, 1, 2, 1, d, dv});
    }
}

TEST_CASE("volumes in double") {
  check_attend<double>(grid_case<3>{{{3, 4, 19}, {2, 3, 5}}, 1, 2, 1, 6, 9});
  draws from(14);
  for (int n = 0; n < 40; ++n)
    check_attend<double>(
        grid_case<3>{draw_windows<3>({from.from(1, 5), from.from(1, 6), from.from(1, 20)}, from), 1,
                     2, from.from(1, 2), from.from(1, 12), from.from(1, 12)});
}

TEST_CASE("half and bfloat16") {
  using half = Eigen::half;
  using bfloat = Eigen::bfloat16;
  for (const neighborhood<2>& grid : {neighborhood<2>{{5, 19}, {3, 5}},
                                      {{6, 9}, {4, 4}, {4, 4}},
                                      {{7, 8}, {3, 3}, {1, 1}, {2, 2}}}) {
    const grid_case<2> x{grid, 1, 2, 1, 8, 12};
    check_attend<float, 2, half>(x, 0x1p-11);
    check_attend<float, 2, bfloat>(x, 0x1p-8);
    check_attend<float, 2, double, float, half, double>(x);
  }
}

TEST_CASE("an image as it lies, and any other strides") {
  const grid_case<2> x{{{6, 17}, {3, 7}, {1, 1}}, 2, 3, 3, 8, 5};
  for (const heed::index stride : {1, 2}) {
    grid_case<2> y = x;
    y.grid.stride = {stride, stride};
    const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2),
               v = random<float>(x.v(), 3);
    auto out = unwritten<float>(x.out()), lse = unwritten<float>(x.rows());
    heed::attend(heed::attention{.mask = y.grid}, q.in(), k.in(), v.in(),
                 {.out = out.in(), .lse = lse.in()});
    // [B,Y,X,H,D], and channels two apart, backwards.
    std::vector<float> image(q.data.size()), strided(2 * k.data.size() + 1, NAN),
        to(2 * out.data.size(), NAN);
    const heed::index l = x.tokens();
    const heed::view<float> image_q(image.data(), x.q(), {l * 24, 8, 24, 1});
    const heed::view<float> strided_k(strided.data() + 14, x.k(), {3 * l * 16, l * 16, 16, -2});
    const heed::view<float> strided_out(to.data(), x.out(), {l * 30, 10, 30, 2});
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 3; ++h)
        for (heed::index i = 0; i < l; ++i)
          for (heed::index c = 0; c < 8; ++c) {
            image_q(b, h, i, c) = q.in()(b, h, i, c);
            strided_k(b, h, i, c) = k.in()(b, h, i, c);
          }
    heed::attend(heed::attention{.mask = y.grid}, image_q, strided_k, v.in(), strided_out);
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 3; ++h)
        for (heed::index i = 0; i < l; ++i)
          for (heed::index c = 0; c < 5; ++c)
            CHECK(strided_out(b, h, i, c) == Approx(out.in()(b, h, i, c)).margin(2e-6));
    for (std::size_t i = 1; i < to.size(); i += 2) CHECK(std::isnan(to[i]));
  }
}

TEST_CASE("what a window hides never leaks") {
  for (const heed::index stride : {1, 3}) {
    grid_case<2> x{{{7, 21}, {3, 5}, {1, stride}}, 1, 1, 1, 8, 8};
    const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2),
               v = random<float>(x.v(), 3);
    auto out = unwritten<float>(x.out()), spoiled = out;
    heed::attend(heed::attention{.mask = x.grid}, q.in(), k.in(), v.in(), out.in());
    for (const heed::index bad : {heed::index{0}, heed::index{3 * 21 + 10}, x.tokens() - 1})
      for (const bool of_keys : {true, false}) {
        auto broken_k = k, broken_v = v;
        for (heed::index c = 0; c < 8; ++c) (of_keys ? broken_k : broken_v)(0, 0, bad, c) = NAN;
        heed::attend(heed::attention{.mask = x.grid}, q.in(), broken_k.in(), broken_v.in(),
                     spoiled.in());
        for (heed::index i = 0; i < x.tokens(); ++i) {
          const bool seen = x.grid({.q = i, .k = bad, .row = i, .slot = bad});
          INFO("token " << i << " and " << bad);
          CHECK(std::isnan(spoiled(0, 0, i, 3)) == seen);
          if (!seen) CHECK(std::abs(spoiled(0, 0, i, 3) - out(0, 0, i, 3)) < 4e-6f);
        }
      }
  }
}
