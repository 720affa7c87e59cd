// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/power_of_two.hpp>
#include <heed/reference/mask/power_of_two.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("Powers of two, drawn") {
  CHECK(drawn(power_of_two{2, 1, 0}, 10, 10) ==
        drawing{"x.........", "xx........", "xxx.......", "xxxx......", "xxxxx.....", "xxxxxx....",
                "..xxxxx...", "..xxxxxx..", "xx..xxxxx.", "xx..xxxxxx"});
  CHECK(drawn(power_of_two::tokens(), 9, 9) == drawing{"x........", "xx.......", "xxx......",
                                                       ".xxx.....", "x.xxx....", ".x.xxx...",
                                                       "..x.xxx..", "...x.xxx.", "x...x.xxx"});
  CHECK(drawn(power_of_two{1, 3, 1}, 9, 9) == drawing{"x........", "xx.......", "xxx......",
                                                      "xxxx.....", "x.xxx....", "xx.xxx...",
                                                      "x.x.xxx..", "x..x.xxx.", "x...x.xxx"});
}

TEST_CASE("Powers of two, against their reference and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    for (const power_of_two m :
         {power_of_two{1, 1, 0}, {2, 0, 1}, {3, 4, 2}, {16, 2, 1}, {}, {7, 1000, 0}, {1, 1, 1000}})
      check_mask(m, 1, queries, keys, [&, q = queries, k = keys](index) {
        return reference::mask::power_of_two(q, k, m.block, m.window, m.sinks);
      });
    check_mask(power_of_two::tokens(), 1, queries, keys, [&, q = queries, k = keys](index) {
      return reference::mask::power_of_two_tokens(q, k);
    });
  }
}

TEST_CASE("The spans of a row of powers of two are few") {
  for (const index row : {1, 100, 4097, 131071}) {
    index spans = 0, pairs = 0;
    power_of_two{64, 1, 0}.intervals({.q = row}, row + 1,
                                     [&](span s) { ++spans, pairs += s.size(); });
    CHECK(spans <= 12);
    CHECK(pairs <= 12 * 64);
  }
  // Any number of sinks and of blocks in the window.
  power_of_two all{64, std::numeric_limits<index>::max(), std::numeric_limits<index>::max()};
  all.intervals({.q = 99}, 200, [](span s) { CHECK(s == span{0, 100}); });
}

TEST_CASE("Powers of two refuse empty blocks and negative counts") {
  CHECK_THROWS_WITH((power_of_two{0}.check({})),
                    ContainsSubstring("heed::power_of_two: size must be at least 1: 0"));
  CHECK_THROWS_WITH((power_of_two{4, -1}.check({})), ContainsSubstring("window = -1"));
  CHECK_THROWS_WITH((power_of_two{4, 1, -2}.check({})), ContainsSubstring("sinks = -2"));
}

}  // namespace heed::test
