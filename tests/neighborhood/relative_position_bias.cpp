// SPDX-License-Identifier: BSL-1.0
// The relative position bias of grids: its entries, the calls it is part of, its gradient.
#include <heed/eigen.hpp>

#include "support/neighborhood.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::neighborhood;
using heed::relative_position_bias;

namespace {

template <int N> void check_entries(const neighborhood<N>& grid) {
  const auto bias = relative_position_bias<N>::of(grid, {});
  const auto axes = axes_of(grid);
  std::vector<bool> met(static_cast<std::size_t>(bias.entries()));
  for (heed::index q = 0; q < grid.tokens(); ++q)
    for (heed::index k = 0; k < grid.tokens(); ++k) {
      const heed::index entry = bias.entry(q, k);
      if (entry < 0 || entry >= bias.entries()) FAIL("outside the table: " << entry);
      if (!grid({.q = q, .k = k, .row = q, .slot = k})) continue;
      const heed::index expected = heed::reference::neighborhood::relative_entry(axes, q, k);
      if (entry != expected || bias.place(k) - bias.place(q) + bias.origin() != expected)
        FAIL("entry " << entry << " for " << expected << " of " << q << ", " << k);
      met[static_cast<std::size_t>(entry)] = true;
    }
  CHECK(met[static_cast<std::size_t>(bias.origin())]);
}

/// A table of the bias and `slots` extra keys.
template <class T, int N> void check_bias(const grid_case<N>& x, heed::index slots) {
  const auto q = random<T>(x.q(), 1), k = random<T>(x.k(), 2), v = random<T>(x.v(), 3);
  grid_extras more;
  const bool shared = x.tokens() % 2 == 0;
  more.bias = random<float>({1, shared ? 1 : x.h, x.entries(), 1}, 4);
  more.k = random<float>({1, x.kv, slots, x.d}, 5),
  more.v = random<float>({1, x.kv, slots, x.dv}, 6);
  const heed::attention spec{.mask = x.grid,
                             .score = relative_position_bias<N>::of(x.grid, more.bias.in()),
                             .scale = 0.3,
                             .extra = heed::extra_slots{more.k.in(), more.v.in()}};
  auto out = unwritten<T>(x.out()), lse = unwritten<T>(x.rows());
  heed::attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  check_grid<T>(x, q, k, v, out, lse, 0.3, more, 0, std::to_string(slots) + " slots, ");
}

}  // namespace

TEST_CASE("entries of a table are relative positions") {
  check_entries<1>({{9}, {4}});
  check_entries<2>({{4, 5}, {3, 4}});
  check_entries<2>({{6, 7}, {3, 2}, {3, 1}, {2, 3}});
  check_entries<3>({{3, 4, 6}, {2, 4, 3}, {1, 4, 2}, {1, 1, 2}, {true, false, false}});
  const relative_position_bias<2> swin{{}, {8, 8}, {4, 4}};
  CHECK(swin.entries() == 49);
  CHECK(swin.entry(0, 0) == 24);
  CHECK(swin.entry(0, 3 * 8 + 3) == 48);
  CHECK(swin.entry(3 * 8 + 3, 0) == 0);
  CHECK(swin.entry(0, 1) == 25);
  CHECK(swin.entry(0, 8) == 31);
}

TEMPLATE_TEST_CASE("neighbourhoods with a bias and extra keys", "", float, double) {
  draws from(4);
  for (const heed::index slots : {0, 3}) {
    for (const heed::index x : {5, 13, 16, 31, 40})
      for (const heed::index w : {2, 5, 12})
        if (w <= x) check_bias<TestType>(grid_case<2>{{{4, x}, {3, w}}, 1, 4, 2, 6, 9}, slots);
    for (int n = 0; n < 20; ++n)
      check_bias<TestType>(
          grid_case<2>{draw_windows<2>({from.from(1, 8), from.from(1, 33)}, from), 1, 4, 2, 5, 3},
          slots);
  }
}

TEST_CASE("biases of one and three dimensions") {
  draws from(5);
  for (const heed::index slots : {0, 2})
    for (int n = 0; n < 20; ++n) {
      check_bias<float>(grid_case<1>{draw_windows<1>({from.from(1, 60)}, from), 1, 4, 2, 5, 3},
                        slots);
      check_bias<float>(
          grid_case<3>{draw_windows<3>({from.from(1, 4), from.from(1, 5), from.from(1, 18)}, from),
                       1, 4, 2, 5, 3},
          slots);
    }
}

TEST_CASE("tables of any stride and element type") {
  const grid_case<2> x{{{5, 19}, {3, 4}}, 1, 3, 3, 8, 8};
  const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2), v = random<float>(x.v(), 3);
  // Swin's [entries][heads].
  const auto swin = random<Eigen::half>({1, 1, x.entries(), x.h}, 4);
  grid_extras more;
  more.bias = tensor<float>({1, x.h, x.entries(), 1});
  for (heed::index h = 0; h < x.h; ++h)
    for (heed::index e = 0; e < x.entries(); ++e) more.bias(0, h, e) = float(swin.in()(0, 0, e, h));
  const heed::view<const Eigen::half> turned(swin.data.data(), {1, x.h, x.entries(), 1},
                                             {0, 1, x.h, 1});
  auto out = unwritten<float>(x.out()), lse = unwritten<float>(x.rows());
  heed::attend(heed::attention{.mask = x.grid,
                               .score = relative_position_bias<2>::of(x.grid, turned),
                               .extra = heed::extra_slots{heed::view<const float>(q.data.data(),
                                                                                  {1, 1, 0, x.d})}},
               q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  check_grid<float>(x, q, k, v, out, lse, 1 / std::sqrt(8.0), more);
}

TEST_CASE("a bias refuses what does not fit") {
  const neighborhood<2> grid{{4, 5}, {3, 3}};
  const auto x = random<float>({1, 2, 20, 4}, 1), table = random<float>({1, 2, 25, 1}, 2);
  auto out = unwritten<float>(x.extent);
  const auto refuses = [&](const relative_position_bias<2>& bias, const std::string& text) {
    const heed::attention spec{
        .mask = grid,
        .score = bias,
        .extra = heed::extra_slots{heed::view<const float>(x.data.data(), {1, 1, 0, 4})}};
    CHECK_THROWS_WITH(
        heed::attend(spec, x.in(), x.in(), x.in(), out.in()),
        ContainsSubstring("heed::relative_position_bias: ") && ContainsSubstring(text));
    for (const float y : out.data) CHECK(std::isnan(y));
  };
  const auto of = [&](const heed::extents& e) {
    return relative_position_bias<2>::of(grid, heed::view<const float>(table.data.data(), e));
  };
  refuses(of({1, 2, 15, 1}), "the table is [1, 2, 15, 1], but these windows need 25 entries");
  refuses(of({1, 3, 25, 1}), "the table is [1, 3, 25, 1], but must broadcast to [1, 2, 25, 1]");
  refuses(relative_position_bias<2>::of(grid, {}), "these windows need 25 entries");
  refuses({table.in(), {4, 6}, {3, 3}}, "a grid of 24 tokens needs as many queries and keys");
  refuses({table.in(), {4, 5}, {3, 0}}, "axis 1 must have a size, a window and a dilation");
}
