// SPDX-License-Identifier: BSL-1.0
// The mask: pictures, its windows, and every pair against the roll of the paper.
#include <heed/neighborhood/shifted_window.hpp>
#include <heed/reference/neighborhood/shifted_window.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

template <class A> reference::indices list(const A& a) { return {a.begin(), a.end()}; }

/// The last two axes, a letter a window.
template <int N> drawing lettered(const shifted_window<N>& m) {
  const index width = m.size[N - 1];
  drawing rows(static_cast<std::size_t>(m.tokens() / width),
               std::string(static_cast<std::size_t>(width), '?'));
  for (index i = 0; i < m.patches(); ++i)
    m.patch(i, [&](index token) {
      rows[static_cast<std::size_t>(token / width)][static_cast<std::size_t>(token % width)] =
          char('a' + i);
    });
  return rows;
}

/// What one token sees, as a picture of the grid.
drawing seen(const shifted_window<2>& m, index query) {
  const std::string row = drawn(m, m.tokens(), m.tokens())[static_cast<std::size_t>(query)];
  drawing rows;
  for (index y = 0; y < m.size[0]; ++y)
    rows.push_back(row.substr(std::size_t(y * m.size[1]), std::size_t(m.size[1])));
  return rows;
}

/// Windows cover the grid once, ascending, and hold all that each of their tokens sees.
template <int N> void check_patches(const shifted_window<N>& m) {
  const index tokens = m.tokens();
  const drawing truth = drawn(m, tokens, tokens);
  std::vector<int> visits(static_cast<std::size_t>(tokens));
  for (index i = 0; i < m.patches(); ++i) {
    std::string keys(static_cast<std::size_t>(tokens), '.');
    std::vector<index> patch;
    m.patch(i, [&](index token) {
      patch.push_back(token);
      keys.at(static_cast<std::size_t>(token)) = 'x';
      ++visits.at(static_cast<std::size_t>(token));
    });
    bool good = !patch.empty() && std::is_sorted(patch.begin(), patch.end());
    for (const index q : patch) good = good && truth[static_cast<std::size_t>(q)] == keys;
    CAPTURE(m.size, m.window, m.shift, i, keys);
    CHECK(good);
  }
  CHECK(visits == std::vector<int>(static_cast<std::size_t>(tokens), 1));
}

template <int N> void check_windows(const shifted_window<N>& m) {
  const allowed truth =
      reference::neighborhood::shifted_window(list(m.size), list(m.window), list(m.shift));
  check_mask(m, 1, m.tokens(), m.tokens(), [&](index) { return truth; });
  check_patches(m);
}

problem_shape square(index tokens) { return {.batch = 1, .queries = tokens, .keys = tokens}; }

}  // namespace

TEST_CASE("shifted windows, drawn") {
  CHECK(lettered(shifted_window<2>{{4, 6}, {2, 3}}) ==
        drawing{"aaabbb", "aaabbb", "cccddd", "cccddd"});
  CHECK(lettered(shifted_window<2>{{4, 6}, {2, 3}, {1, 1}}) ==
        drawing{"abbbcc", "deeeff", "deeeff", "ghhhii"});
  CHECK(lettered(shifted_window<2>{{3, 5}, {2, 3}}) == drawing{"aaabb", "aaabb", "cccdd"});
  CHECK(lettered(shifted_window<2>{{3, 5}, {2, 3}, {1, 2}}) == drawing{"aabbb", "ccddd", "ccddd"});
  CHECK(lettered(shifted_window<1>{{7}, {4}, {2}}) == drawing{"aabbbbc"});
  CHECK(lettered(shifted_window<1>{{3}, {3}, {1}}) == drawing{"abb"});
  CHECK(lettered(shifted_window<3>{{2, 2, 3}, {2, 1, 2}}) == drawing{"aab", "ccd", "aab", "ccd"});

  const shifted_window<2> m{{4, 6}, {2, 3}, {1, 1}};
  CHECK(seen(m, 0) == drawing{"x.....", "......", "......", "......"});
  CHECK(seen(m, 14) == drawing{"......", ".xxx..", ".xxx..", "......"});
  CHECK(seen(m, 23) == drawing{"......", "......", "......", "....xx"});
}

TEST_CASE("shifted windows of every axis up to 12 against the roll") {
  for (index size = 1; size <= 12; ++size)
    for (index window = 1; window <= size; ++window)
      for (index shift = 0; shift < window; ++shift) {
        const shifted_window<1> m{{size}, {window}, {shift}};
        CAPTURE(size, window, shift);
        CHECK(drawn(m, size, size) ==
              drawn(reference::neighborhood::shifted_window({size}, {window}, {shift})));
        check_spans(m, size, size);
        check_patches(m);
      }
}

TEST_CASE("shifted windows against the roll and in the engine") {
  check_windows(shifted_window<1>{{70}, {9}, {4}});
  check_windows(shifted_window<1>{{300}, {64}});
  check_windows(shifted_window<2>{{1, 1}, {1, 1}});
  check_windows(shifted_window<2>{{14, 14}, {7, 7}, {3, 3}});
  check_windows(shifted_window<2>{{13, 9}, {4, 5}, {2, 0}});
  check_windows(shifted_window<2>{{6, 5}, {3, 5}, {1, 0}});
  check_windows(shifted_window<3>{{4, 6, 5}, {2, 3, 4}, {1, 1, 2}});
  check_windows(shifted_window<3>{{3, 4, 4}, {3, 2, 4}, {0, 1, 0}});
}

TEST_CASE("rows of a window that touch are one span") {
  std::vector<span> spans;
  shifted_window<3>{{4, 3, 5}, {2, 3, 5}}.intervals(at(60, 60, 40, 0), 60,
                                                    [&](span s) { spans.push_back(s); });
  CHECK(spans == std::vector<span>{{30, 60}});
}

TEST_CASE("shifted windows refuse what does not fit, and say which axis") {
  const auto refused = [](const auto& m, const char* rule) {
    CHECK_THROWS_WITH(m.check(square(20)),
                      ContainsSubstring("heed::shifted_window") && ContainsSubstring(rule));
  };
  refused(shifted_window<2>{{0, 5}, {1, 1}}, "axis 0 is empty: size 0");
  refused(shifted_window<2>{{4, 5}, {2, 0}}, "axis 1 has a window below 1");
  refused(shifted_window<2>{{4, 5}, {5, 5}}, "axis 0 is shorter than its window: size 4, window 5");
  refused(shifted_window<2>{{4, 5}, {2, 2}, {0, -1}}, "axis 1 must have 0 <= shift < window");
  refused(shifted_window<2>{{4, 5}, {2, 2}, {2, 0}}, "axis 0 must have 0 <= shift < window");
  refused(shifted_window<3>{{2, 2, 6}, {1, 1, 3}}, "a grid of 24 tokens");
  problem_shape moved = square(20);
  moved.offset = 1;
  CHECK_THROWS_WITH((shifted_window<2>{{4, 5}, {2, 2}}).check(moved), ContainsSubstring("20"));
  moved = square(20), moved.keys = 19;
  CHECK_THROWS_WITH((shifted_window<2>{{4, 5}, {2, 2}}).check(moved), ContainsSubstring("19"));
  CHECK_NOTHROW((shifted_window<2>{{4, 5}, {2, 2}, {1, 1}}).check(square(20)));

  const auto x = uniform({1, 2, 20, 4}, 1);
  tensor<> out({1, 2, 20, 4}, not_a_number);
  CHECK_THROWS_AS(attend(attention{.mask = shifted_window<2>{{4, 5}, {2, 6}}}, x.in(), x.in(),
                         x.in(), out.in()),
                  std::invalid_argument);
  CHECK(std::isnan(out.data.front()));
}

}  // namespace heed::test
