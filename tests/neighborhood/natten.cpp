// SPDX-License-Identifier: BSL-1.0
// The rule of neighbourhoods: every case of an axis up to 12 tokens against two derivations,
// pictures, spans, refusals.
#include "support/grids.hpp"
#include "support/masks.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::neighborhood;
using heed::neighborhood_axis;

namespace {

/// Calls f for every legal axis of up to `most` tokens.
template <class F> void each_axis(heed::index most, F f) {
  for (heed::index size = 1; size <= most; ++size)
    for (heed::index dilation = 1; dilation <= size; ++dilation)
      for (heed::index window = 1; window * dilation <= size; ++window)
        for (heed::index stride = 1; stride <= window; ++stride)
          for (const bool causal : {false, true})
            f(neighborhood_axis{size, window, stride, dilation, causal});
}

/// Whether q sees k, from NATTEN's closed forms: the start of a window is
///   max(leader − left, 0) + [leader + right ≥ length] · (length − right − leader − 1)
/// of a group of `length` tokens, `left` and `right` of its leader.
bool closed_form(const neighborhood_axis& a, heed::index q, heed::index k) {
  const heed::index group = q % a.dilation;
  if (k % a.dilation != group) return false;
  const heed::index length = a.size / a.dilation + (group < a.size % a.dilation ? 1 : 0);
  const heed::index i = q / a.dilation, j = k / a.dilation;
  if (a.causal) {
    const heed::index leader = std::min(i / a.stride * a.stride + a.stride - 1, length - 1);
    return j <= i && j > leader - a.window;
  }
  const heed::index left = a.window / 2, right = a.window / 2 + a.window % 2 - 1;
  const heed::index leader = std::min(i / a.stride * a.stride + a.stride / 2, length - 1);
  const heed::index start = std::max<heed::index>(leader - left, 0) +
                            (leader + right >= length ? length - right - leader - 1 : 0);
  return start <= j && j < start + a.window;
}

/// First key of the first NATTEN, odd windows and stride 1, in tokens of the axis.
heed::index first_natten(heed::index i, heed::index length, heed::index window, heed::index d) {
  const heed::index half = window / 2;
  if (i - half * d < 0) return i % d;
  if (i + half * d < length) return i - half * d;
  const heed::index whole = length / d * d, rest = length - whole, group = i % d;
  return group < rest ? length - rest + group - 2 * half * d : whole + group - window * d;
}

std::vector<std::string> picture(const neighborhood<2>& grid, heed::index y, heed::index x) {
  const heed::index q = y * grid.size[1] + x;
  std::vector<std::string> rows;
  for (heed::index j = 0; j < grid.size[0]; ++j) {
    rows.emplace_back();
    for (heed::index i = 0; i < grid.size[1]; ++i) {
      const heed::index k = j * grid.size[1] + i;
      rows.back() += grid({.q = q, .k = k, .row = q, .slot = k}) ? 'x' : '.';
    }
  }
  return rows;
}
/// What each query of one axis sees, a line a query.
std::vector<std::string> lines(const neighborhood<1>& grid) {
  return drawn(grid, grid.tokens(), grid.tokens());
}
template <int N> void refuses(const neighborhood<N>& grid, const std::string& text) {
  heed::index tokens = 1;
  for (const heed::index s : grid.size) tokens *= std::max<heed::index>(s, 0);
  const auto x = random<float>({1, 1, tokens, 4}, 1);
  auto out = unwritten<float>(x.extent);
  CHECK_THROWS_WITH(heed::attend(heed::attention{.mask = grid}, x.in(), x.in(), x.in(), out.in()),
                    ContainsSubstring("heed::neighborhood: ") && ContainsSubstring(text));
  for (const float y : out.data) CHECK(std::isnan(y));
}

}  // namespace

TEST_CASE("Every axis of up to 12 tokens") {
  long cases = 0, wrong = 0;
  each_axis(12, [&](const neighborhood_axis& a) {
    const heed::reference::neighborhood::axis same{a.size, a.window, a.stride, a.dilation,
                                                   a.causal};
    const neighborhood<1> grid{{a.size}, {a.window}, {a.stride}, {a.dilation}, {a.causal}};
    for (heed::index i = 0; i < a.size; ++i, ++cases) {
      const auto expected = heed::reference::neighborhood::seen(same, i);
      std::vector<heed::index> asked, closed, spans;
      for (heed::index k = 0; k < a.size; ++k) {
        if (grid({.q = i, .k = k, .row = i, .slot = k})) asked.push_back(k);
        if (closed_form(a, i, k)) closed.push_back(k);
      }
      grid.intervals({.q = i, .row = i}, a.size, [&](heed::span s) {
        for (heed::index k = s.begin; k < s.end; ++k) spans.push_back(k);
      });
      bool good = asked == expected && closed == expected && spans == expected;
      good &= std::find(expected.begin(), expected.end(), i) != expected.end();
      if (a.stride == 1) {
        const heed::span by = a.queries(i / a.dilation, a.group_size(i));
        for (heed::index q = i % a.dilation; q < a.size; q += a.dilation)
          good &= closed_form(a, q, i) == (by.begin <= q / a.dilation && q / a.dilation < by.end);
      }
      const auto count = heed::index(expected.size());
      good &= a.causal ? count >= 1 && count <= a.window : count == a.window;
      if (!a.causal && a.window % 2 == 1 && a.stride == 1)
        good &= expected[0] == first_natten(i, a.size, a.window, a.dilation);
      if (!good && ++wrong < 5)
        FAIL_CHECK("size " << a.size << " window " << a.window << " stride " << a.stride
                           << " dilation " << a.dilation << " causal " << a.causal << " token "
                           << i);
    }
  });
  CHECK(wrong == 0);
  CHECK(cases == 10470);
}

TEST_CASE("Axes are independent, spans are sorted and exact") {
  draws from(1);
  for (int n = 0; n < 60; ++n) {
    const auto two = draw_windows<2>({from.from(1, 7), from.from(1, 9)}, from);
    const auto three = draw_windows<3>({from.from(1, 4), from.from(1, 4), from.from(1, 5)}, from);
    const auto check = [](const auto& grid) {
      const heed::index tokens = grid.tokens();
      for (heed::index q = 0; q < tokens; ++q) {
        std::vector<heed::index> asked;
        for (heed::index k = 0; k < tokens; ++k)
          if (grid({.q = q, .k = k, .row = q, .slot = k})) asked.push_back(k);
        CHECK(asked == heed::reference::neighborhood::seen(axes_of(grid), q));
        std::vector<heed::index> spans;
        heed::index end = 0;
        bool sorted = true;
        grid.intervals({.q = q, .row = q}, tokens, [&](heed::span s) {
          sorted &= s.begin >= end && s.end > s.begin;
          for (heed::index k = s.begin; k < s.end; ++k) spans.push_back(k);
          end = s.end;
        });
        CHECK(sorted);
        CHECK(spans == asked);
      }
      check_covers(grid, tokens, tokens);
    };
    check(two), check(three);
  }
}

TEST_CASE("Windows at the ends, even and odd") {
  CHECK(lines({{6}, {3}}) == drawing{"xxx...", "xxx...", ".xxx..", "..xxx.", "...xxx", "...xxx"});
  CHECK(lines({{6}, {4}}) == drawing{"xxxx..", "xxxx..", "xxxx..", ".xxxx.", "..xxxx", "..xxxx"});
  CHECK(lines({{3}, {3}}) == drawing{"xxx", "xxx", "xxx"});
  CHECK(lines({{3}, {1}}) == drawing{"x..", ".x.", "..x"});
}

TEST_CASE("Strides share a window") {
  CHECK(lines({{7}, {3}, {2}}) ==
        drawing{"xxx....", "xxx....", "..xxx..", "..xxx..", "....xxx", "....xxx", "....xxx"});
  // A window of its own length a stride: blocks. The last one lacks a token, and its window is
  // moved inwards.
  CHECK(lines({{5}, {2}, {2}}) == drawing{"xx...", "xx...", "..xx.", "..xx.", "...xx"});
}

TEST_CASE("Dilations make groups of different lengths") {
  CHECK(lines({{7}, {3}, {1}, {2}}) ==
        drawing{"x.x.x..", ".x.x.x.", "x.x.x..", ".x.x.x.", "..x.x.x", ".x.x.x.", "..x.x.x"});
}

TEST_CASE("Causal axes look back only") {
  CHECK(lines({{5}, {3}, {1}, {1}, {true}}) ==
        drawing{"x....", "xx...", "xxx..", ".xxx.", "..xxx"});
  CHECK(lines({{5}, {3}, {2}, {1}, {true}}) ==
        drawing{"x....", "xx...", ".xx..", ".xxx.", "..xxx"});
  CHECK(lines({{6}, {2}, {1}, {2}, {true}}) ==
        drawing{"x.....", ".x....", "x.x...", ".x.x..", "..x.x.", "...x.x"});
}

TEST_CASE("Corners of a map") {
  const neighborhood<2> odd{{4, 5}, {3, 3}};
  CHECK(picture(odd, 0, 0) == drawing{"xxx..", "xxx..", "xxx..", "....."});
  CHECK(picture(odd, 1, 2) == drawing{".xxx.", ".xxx.", ".xxx.", "....."});
  CHECK(picture(odd, 3, 4) == drawing{".....", "..xxx", "..xxx", "..xxx"});
  CHECK(picture({{4, 5}, {2, 4}}, 2, 3) == drawing{".....", ".xxxx", ".xxxx", "....."});
  const neighborhood<2> apart{{4, 6}, {2, 3}, {1, 1}, {2, 2}};
  CHECK(picture(apart, 0, 5) == drawing{".x.x.x", "......", ".x.x.x", "......"});
  // Causal in y alone.
  const neighborhood<2> down{{3, 4}, {2, 3}, {1, 1}, {1, 1}, {true, false}};
  CHECK(picture(down, 0, 1) == drawing{"xxx.", "....", "...."});
  CHECK(picture(down, 2, 3) == drawing{"....", ".xxx", ".xxx"});
}

TEST_CASE("Neighbourhoods refuse what has no meaning, and name the axis") {
  refuses<1>({{0}, {1}}, "axis 0 is empty: size 0");
  refuses<2>({{4, 0}, {3, 3}}, "axis 1 is empty: size 0");
  refuses<2>({{4, 5}, {0, 3}}, "axis 0 must have 1 <= stride <= window");
  refuses<2>({{4, 5}, {3, 6}},
             "axis 1 is shorter than its window times its dilation: size 5, "
             "window 6");
  refuses<3>({{4, 5, 6}, {2, 2, 3}, {1, 1, 1}, {1, 3, 1}},
             "axis 1 is shorter than its window times its dilation: size 5, window 2, stride 1, "
             "dilation 3");
  refuses<3>({{4, 5, 6}, {2, 2, 3}, {1, 1, 4}},
             "axis 2 must have 1 <= stride <= window: size 6, "
             "window 3, stride 4");
  refuses<1>({{4}, {2}, {0}}, "axis 0 must have 1 <= stride <= window");
  refuses<1>({{4}, {2}, {1}, {0}}, "axis 0 has a dilation below 1");
  const auto x = random<float>({1, 1, 20, 4}, 1);
  auto out = unwritten<float>(x.extent);
  const auto call = [&](const auto& grid) {
    heed::attend(heed::attention{.mask = grid}, x.in(), x.in(), x.in(), out.in());
  };
  CHECK_THROWS_WITH(call(neighborhood<2>{{4, 6}, {3, 3}}),
                    ContainsSubstring("a grid of 24 tokens needs as many queries and keys, from 0 "
                                      "on: 20 and 20"));
  for (const float y : out.data) CHECK(std::isnan(y));
}
