// SPDX-License-Identifier: BSL-1.0
#include <heed/neighborhood/criss_cross.hpp>
#include <heed/reference/neighborhood/criss_cross.hpp>

#include "support/gradients.hpp"
#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

/// What one token sees, as a picture of the grid.
template <int N> drawing seen(const criss_cross<N>& m, index query) {
  const std::string row = drawn(m, m.tokens(), m.tokens())[static_cast<std::size_t>(query)];
  const auto width = static_cast<std::size_t>(m.size[N - 1]);
  drawing rows;
  for (std::size_t first = 0; first < row.size(); first += width)
    rows.push_back(row.substr(first, width));
  return rows;
}

}  // namespace

TEST_CASE("criss-cross, drawn") {
  CHECK(seen(criss_cross<2>{{4, 5}}, 7) == drawing{"..x..", "xxxxx", "..x..", "..x.."});
  CHECK(seen(criss_cross<2>{{4, 5}}, 15) == drawing{"x....", "x....", "x....", "xxxxx"});
  CHECK(seen(criss_cross<2>{{1, 3}}, 1) == drawing{"xxx"});
  CHECK(seen(criss_cross<2>{{3, 1}}, 1) == drawing{"x", "x", "x"});
  CHECK(seen(criss_cross<3>{{2, 2, 3}}, 1) == drawing{"xxx", ".x.", ".x.", "..."});
}

TEST_CASE("criss-cross against its reference and in the engine") {
  const auto check = [](const auto& m) {
    const allowed truth =
        reference::neighborhood::criss_cross(reference::indices(m.size.begin(), m.size.end()));
    check_mask(m, 1, m.tokens(), m.tokens(), [&](index) { return truth; });
  };
  for (index y = 1; y <= 5; ++y)
    for (index x = 1; x <= 5; ++x) check(criss_cross<2>{{y, x}});
  check(criss_cross<2>{{13, 21}});
  check(criss_cross<2>{{2, 70}});
  check(criss_cross<3>{{3, 4, 5}});
  check(criss_cross<3>{{2, 1, 9}});
  check(criss_cross<3>{{4, 6, 1}});
}

TEST_CASE("criss-cross: a token counts itself once") {
  const criss_cross<2> m{{6, 9}};
  index keys = 0;
  m.intervals(at(54, 54, 31, 0), 54, [&](span s) { keys += s.size(); });
  CHECK(keys == 6 + 9 - 1);
}

TEST_CASE("gradients of criss-cross attention") {
  check_gradients("criss_cross<2>", attention{.mask = criss_cross<2>{{5, 7}}}, {}, {},
                  {.lq = 35, .lk = 35});
  check_gradients("criss_cross<3>", attention{.mask = criss_cross<3>{{2, 4, 5}}}, {}, {},
                  {.lq = 40, .lk = 40});
}

TEST_CASE("criss-cross refuses what does not fit") {
  CHECK_THROWS_WITH(
      (criss_cross<2>{{3, 0}}).check({}),
      ContainsSubstring("heed::criss_cross") && ContainsSubstring("axis 1 is empty: size 0"));
  CHECK_THROWS_WITH((criss_cross<2>{{3, 4}}).check({.queries = 12, .keys = 13, .offset = 1}),
                    ContainsSubstring("a grid of 12 tokens") && ContainsSubstring("13"));
}

}  // namespace heed::test
