// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/full.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/types.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/reference/mask/where.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// The definition over (i, j), with no other part of the mask.
template <class M> auto truth_of(const M& m, index queries, index keys) {
  return [=](index b) {
    allowed a(queries, keys);
    for (index r = 0; r < queries; ++r)
      for (index k = 0; k < keys; ++k) a(r, k) = m(at(queries, keys, r, k, b));
    return a;
  };
}

// Keys 0 mod 3: more spans than any panel keeps.
struct every_third {
  static constexpr bool exact = true;
  bool operator()(const position& p) const { return p.k % 3 == 0; }
  template <class F> void intervals(const position&, index keys, F emit) const {
    for (index k = 0; k < keys; k += 3) emit(span{k, k + 1});
  }
};

template <class M> std::vector<span> spans_of(const M& m, index queries, index keys, index row) {
  std::vector<span> spans;
  intervals(m, at(queries, keys, row, 0), keys, [&](span s) { spans.push_back(s); });
  return spans;
}

}  // namespace

TEST_CASE("Combined masks, drawn") {
  CHECK(drawn(causal{} && window{.left = 1, .right = 3}, 4, 4) ==
        drawing{"x...", "xx..", ".xx.", "..xx"});
  CHECK(drawn(causal{} && (window{.left = 1} || first_keys{1}), 5, 5) ==
        drawing{"x....", "xx...", "xxx..", "x.xx.", "x..xx"});
  CHECK(drawn(!causal{}, 3, 3) == drawing{".xx", "..x", "..."});
  CHECK(drawn(causal{} && !first_keys{2}, 4, 4) == drawing{"....", "....", "..x.", "..xx"});
  CHECK(drawn(full{} && !full{}, 1, 2) == drawing{".."});
}

TEST_CASE("Combined masks keep their spans few and exact") {
  const auto local = causal{} && window{.left = 3, .right = 3};
  STATIC_REQUIRE(local.exact);
  CHECK(spans_of(local, 20, 20, 10) == std::vector<span>{{7, 11}});
  const auto sinks = causal{} && (window{.left = 3} || first_keys{2});
  STATIC_REQUIRE(sinks.exact);
  CHECK(spans_of(sinks, 20, 20, 10) == std::vector<span>{{0, 2}, {7, 11}});
  CHECK(spans_of(sinks, 20, 20, 5) == std::vector<span>{{0, 6}});
  CHECK(spans_of(causal{} || full{}, 20, 20, 5) == std::vector<span>{{0, 20}});
  CHECK(spans_of(!window{.left = 1, .right = 1}, 9, 9, 4) == std::vector<span>{{0, 3}, {6, 9}});
  CHECK(spans_of(!full{}, 9, 9, 4).empty());
  const auto asked = causal{} && where([](const position&) { return true; });
  STATIC_REQUIRE(!asked.exact);
  CHECK(spans_of(asked, 9, 9, 4) == std::vector<span>{{0, 5}});
  CHECK(spans_of(!asked, 9, 9, 4) == std::vector<span>{{0, 9}});
}

TEST_CASE("Combined masks have the properties of a mask") {
  const where odd([](const position& p) { return (p.q * 3 + p.k) % 4 != 0; });
  for (const auto& [queries, keys] : awkward()) {
    const auto each = [&, q = queries, k = keys](const auto&... m) {
      (check_properties(m, q, k), ...);
    };
    each(causal{} && window{4, 2}, causal{} || window{4, 2}, !window{4, 2}, !causal{}, !!causal{});
    each(!(chunk{4} || first_keys{3}), chunk{4} || chunk{3, 1},
         (chunk{5} || first_keys{2}) && !chunk{3});
    each(causal{} && odd, causal{} || odd, !odd, !(causal{} && odd), every_third{} || chunk{4},
         !every_third{});
    std::vector<int> type(static_cast<std::size_t>(keys), 1);
    for (index i = 0; i < keys; ++i) type[std::size_t(i)] = int(i / 30 % 2);
    const types t{.type = type, .same = 1};
    each(t && window{20, 20}, t || first_keys{2}, !t, t && odd, !(t && causal{}));
  }
}

TEST_CASE("Combined masks in the engine") {
  const auto in_engine = [](const auto& m) {
    for (const auto& [queries, keys] : awkward())
      check_engine(m, 1, queries, keys, truth_of(m, queries, keys));
  };
  SECTION("sinks beside a window") { in_engine(causal{} && (window{.left = 9} || first_keys{2})); }
  SECTION("more spans than a panel keeps") { in_engine(every_third{} && causal{}); }
  SECTION("asked in part, and more spans") {
    in_engine(every_third{} && where([](const position& p) { return (p.q + p.k) % 5 != 1; }));
  }
  SECTION("asked in batches") {
    in_engine(first_keys{70} && where([](auto p) { return p.q - p.k >= 3; }));
  }
  SECTION("complement") { in_engine(!(window{6, 6} || first_keys{3})); }
}

TEST_CASE("Vector forms compose") {
  check_vector((causal{} && window{5, 3}) || !first_keys{20}, 40, 40);
}

TEST_CASE("Combined masks check their parts") {
  const std::vector<int> three = {1, 2, 3};
  const problem_shape shape{.batch = 1, .queries = 4, .keys = 4};
  CHECK_THROWS_WITH((causal{} && (first_keys{1} || !window{-1})).check(shape),
                    ContainsSubstring("heed::window"));
  CHECK_THROWS_WITH((lengths{three} && causal{}).check(shape), ContainsSubstring("heed::lengths"));
  std::vector<float> x(16);
  const view<float> one{x.data(), {1, 1, 4, 4}};
  CHECK_THROWS_WITH(attend(attention{.mask = causal{} && lengths{three}}, one, one, one, one),
                    ContainsSubstring("heed::lengths: keys"));
}

}  // namespace heed::test
