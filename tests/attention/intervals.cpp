// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/hide.hpp>
#include <heed/attention/span_list.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/window.hpp>
#include <numeric>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace heed::test {

using detail::lane_intervals;
using detail::span_list;

namespace {

constexpr index lanes = 8;

std::vector<span> spans_of(const span_list& list) { return {list.begin(), list.end()}; }

span_list listed(const std::vector<span>& spans) {
  span_list list;
  for (const span s : spans) list.add(s);
  return list;
}

// What each query sees, by its position.
struct table {
  static constexpr bool exact = true;
  std::vector<std::vector<span>> rows;

  bool operator()(const position& at) const {
    for (const span s : rows[static_cast<std::size_t>(at.q)])
      if (s.begin <= at.k && at.k < s.end) return true;
    return false;
  }
  template <class F> void intervals(const position& at, index, F emit) const {
    for (const span s : rows[static_cast<std::size_t>(at.q)]) emit(s);
  }
};

// One panel, with memory that starts out wrong.
struct panel : lane_intervals {
  std::vector<index> memory =
      std::vector<index>(static_cast<std::size_t>(scratch(lanes)), index{-7});

  template <class M> panel(const M& mask, index rows, index keys, position at = {}) {
    pitch = lanes, lo = memory.data(), hi = lo + most * lanes;
    collect(mask, at, rows, lanes, detail::sequence{.rows = rows, .keys = keys});
  }
  panel(const panel&) = delete;
  span of(index r, index lane) const { return {lo[r * pitch + lane], hi[r * pitch + lane]}; }
};

constexpr span nothing{0, 0};

}  // namespace

TEST_CASE("span_list keeps spans sorted, whatever their order") {
  const std::vector<span> spans{{0, 2}, {4, 5}, {7, 9}, {20, 30}};
  std::vector<std::size_t> order(spans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  do {
    span_list list;
    for (const std::size_t i : order) list.add(spans[i]);
    CHECK(spans_of(list) == spans);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("span_list joins spans that overlap or touch, and drops empty ones") {
  CHECK(spans_of(listed({{3, 3}, {5, 2}})).empty());
  CHECK(spans_of(listed({{0, 3}, {3, 5}})) == std::vector<span>{{0, 5}});
  CHECK(spans_of(listed({{3, 5}, {0, 3}})) == std::vector<span>{{0, 5}});
  CHECK(spans_of(listed({{0, 3}, {4, 5}})) == std::vector<span>{{0, 3}, {4, 5}});
  CHECK(spans_of(listed({{0, 9}, {3, 5}})) == std::vector<span>{{0, 9}});
  CHECK(spans_of(listed({{0, 1}, {2, 3}, {4, 5}, {8, 9}, {2, 6}})) ==
        std::vector<span>{{0, 1}, {2, 6}, {8, 9}});
  CHECK(spans_of(listed({{0, 1}, {2, 3}, {4, 5}, {1, 4}})) == std::vector<span>{{0, 5}});
}

TEST_CASE("span_list beyond its capacity stays sorted, disjoint and a superset") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<char> seen(400);
    span_list list;
    for (int i = 0; i < 90; ++i) {
      const index begin = static_cast<index>(random() % 390), end = begin + index(random() % 4);
      list.add({begin, end});
      std::fill(seen.begin() + begin, seen.begin() + end, char{1});
      index last = -1;
      bool good = list.end() - list.begin() <= span_list::capacity;
      std::vector<char> covered(seen.size());
      for (const span s : list) {
        good = good && last < s.begin && s.begin < s.end && s.end <= index(seen.size());
        if (!good) break;
        std::fill(covered.begin() + s.begin, covered.begin() + s.end, char{1});
        last = s.end;
      }
      for (std::size_t k = 0; k < seen.size(); ++k) good = good && covered[k] >= seen[k];
      CAPTURE(round, i, begin, end);
      REQUIRE(good);
    }
  }
}

TEST_CASE("collect gives every lane its spans, and empty ones to lanes without") {
  const panel x(table{{{{2, 5}}, {}, {{0, 1}, {7, 9}}}}, 3, 10);
  CHECK(x.count == 2);
  CHECK(x.exact);
  CHECK_FALSE(x.overflows);
  CHECK(x.of(0, 0) == span{2, 5});
  CHECK(x.of(1, 0) == nothing);
  CHECK(x.of(0, 1) == nothing);
  CHECK(x.of(0, 2) == span{0, 1});
  CHECK(x.of(1, 2) == span{7, 9});
  for (index r = 0; r < lane_intervals::most; ++r)
    for (index lane = 3; lane < lanes; ++lane) CHECK(x.of(r, lane) == nothing);
  CHECK(x.hull[0] == span{0, 5});
  CHECK(x.hull[1] == span{7, 9});
  CHECK(x.core[0].empty());
  CHECK(x.core[1].empty());
}

TEST_CASE("collect asks for the positions of its rows") {
  const panel x(causal{}, 4, 100, {.q = 10});
  for (index lane = 0; lane < 4; ++lane) CHECK(x.of(0, lane) == span{0, 11 + lane});
  CHECK(x.hull[0] == span{0, 14});
  CHECK(x.core[0] == span{0, 11});
}

TEST_CASE("a mask that is not exact is known as one") {
  struct every_other {
    bool operator()(const position& at) const { return at.k % 2 == 0; }
  };
  const panel x(every_other{}, 2, 6);
  CHECK_FALSE(x.exact);
  CHECK(x.count == 1);
  CHECK(x.of(0, 1) == span{0, 6});
}

TEST_CASE("one interval too many overflows to a superset") {
  const std::vector<span> four{{0, 1}, {2, 3}, {4, 5}, {6, 7}};
  std::vector<span> six = four;
  six.push_back({8, 9}), six.push_back({12, 15});
  const panel fits(table{{four, four}}, 2, 20);
  CHECK_FALSE(fits.overflows);
  CHECK(fits.count == lane_intervals::most);
  CHECK(fits.hull[3] == span{6, 7});
  const panel over(table{{four, six}}, 2, 20);
  CHECK(over.overflows);
  CHECK(over.count == lane_intervals::most);
  CHECK(over.hull[3] == span{6, 15});
  CHECK(over.clip(10, 20) == span{10, 15});
  // The count and the flag are of the last call.
  panel again(table{{six}}, 1, 20);
  again.collect(causal{}, {}, 1, lanes, detail::sequence{.rows = 1, .keys = 20});
  CHECK_FALSE(again.overflows);
  CHECK(again.count == 1);
  CHECK(again.of(3, 0) == nothing);
}

TEST_CASE("clip is the hull of what some lane sees within a range") {
  const panel x(table{{{{2, 5}, {10, 12}}, {{4, 7}, {14, 15}}}}, 2, 20);
  CHECK(x.clip(0, 20) == span{2, 15});
  CHECK(x.clip(3, 6) == span{3, 6});
  CHECK(x.clip(5, 11) == span{5, 11});
  CHECK(x.clip(7, 11) == span{10, 11});
  CHECK(x.clip(7, 10).empty());
  CHECK(x.clip(0, 2).empty());
  CHECK(x.clip(15, 20).empty());
  CHECK(panel(table{{{}, {}}}, 2, 20).clip(0, 20).empty());
}

TEST_CASE("common is the longest span that every lane sees") {
  const panel x(table{{{{0, 5}, {10, 18}}, {{2, 6}, {9, 16}}}}, 2, 20);
  CHECK(x.common({0, 20}) == span{10, 16});
  CHECK(x.common({0, 12}) == span{2, 5});
  CHECK(x.common({3, 4}) == span{3, 4});
  CHECK(x.common({6, 9}).empty());
  CHECK(x.common({6, 9}).begin == 6);
  // A lane that sees nothing leaves nothing in common.
  CHECK(panel(table{{{{0, 5}}, {}}}, 2, 20).common({0, 20}).empty());
  // What no lane asks about is not taken for granted.
  CHECK(panel(table{{{}, {}}}, 2, 20).common({0, 20}).empty());
}

TEST_CASE("seen is the hull of some of the lanes") {
  const panel x(table{{{}, {{4, 6}}, {}, {{2, 3}}, {{9, 12}}}}, 5, 20);
  CHECK(x.seen(0, 1).empty());
  CHECK(x.seen(0, 2) == span{4, 6});
  CHECK(x.seen(1, 3) == span{4, 6});
  CHECK(x.seen(2, 4) == span{2, 3});
  CHECK(x.seen(0, 5) == span{2, 12});
  CHECK(x.seen(4, lanes) == span{9, 12});
  CHECK(x.seen(5, lanes).empty());
}

TEST_CASE("the lane compares hide what no interval holds") {
  using T = float;
  using arch = simd::scalar;
  const table mask{{{{2, 5}, {10, 12}}, {}, {{0, 1}, {3, 4}, {9, 20}}}};
  for (const index first : {0, 8}) {
    const panel x(mask, 3, 20);
    const index keys = 6;
    std::vector<T> s(static_cast<std::size_t>(keys * lanes), T(1));
    detail::mask_lanes<arch>(x, lanes, first, {1, keys}, s.data(), x.pitch);
    for (index j = 0; j < keys; ++j)
      for (index lane = 0; lane < 3; ++lane) {
        const bool kept = j < 1 || mask({.q = lane, .k = first + j});
        CAPTURE(first, j, lane);
        CHECK(s[static_cast<std::size_t>(j * lanes + lane)] == (kept ? T(1) : masked<T>));
      }
  }
}

TEST_CASE("an exact mask that overflows hides what its intervals leave out") {
  table mask;
  for (index lane = 0; lane < 3; ++lane) {
    mask.rows.emplace_back();
    for (index k = lane; k < 30; k += 3) mask.rows.back().push_back({k, k + 1});
  }
  const tile at{.q = 0, .rows = 3, .k = 7, .slot = 7, .keys = 12, .pitch = lanes};
  std::vector<float> s(12 * lanes, 1.f);
  detail::mask_overflow<simd::scalar>(mask, at, s.data());
  for (index j = 0; j < 12; ++j)
    for (index lane = 0; lane < lanes; ++lane) {
      const bool kept = lane >= 3 || mask({.q = lane, .k = 7 + j});
      CAPTURE(j, lane);
      CHECK(s[static_cast<std::size_t>(j * lanes + lane)] == (kept ? 1.f : masked<float>));
    }
}

}  // namespace heed::test
