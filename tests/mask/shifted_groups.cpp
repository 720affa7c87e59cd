// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/shifted_groups.hpp>
#include <heed/reference/mask/shifted_groups.hpp>

#include "support/head_of.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("Shifted groups, drawn") {
  const std::vector<int> two{2};
  CHECK(drawn(shifted_groups{4, 8}, 8, 8) == drawing{"x.......", "xx......", "xxx.....", "xxxx....",
                                                     "....x...", "....xx..", "....xxx.",
                                                     "....xxxx"});
  CHECK(drawn(shifted_groups{4, 8, two}, 8, 8) == drawing{"x.....xx", "xx....xx", "..x.....",
                                                          "..xx....", "..xxx...", "..xxxx..",
                                                          "......x.", "......xx"});
  CHECK(drawn(shifted_groups{4, 8, two, 0, false}, 8, 8) ==
        drawing{"x.......", "xx......", "..x.....", "..xx....", "..xxx...", "..xxxx..", "......x.",
                "......xx"});
  CHECK(drawn(shifted_groups{4, 8, {}, 1}, 8, 8) == drawing{"x.......", "xx......", "xxx.....",
                                                            "xxxx....", "x...x...", "x...xx..",
                                                            "x...xxx.", "x...xxxx"});
}

TEST_CASE("Shifted groups, against their reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const index size : {1, 4, 7, 32, 1000})
      for (const index global : {0, 4})
        for (const bool wraps : {true, false}) {
          std::vector<int> by = shifted_groups::shifts(4, size);
          by[1] = 1, by[0] = 3;
          for (int& n : by) n = std::min(n, int(keys));
          check_heads(shifted_groups{size, keys, by, global, wraps}, 1, queries, keys,
                      [&, q = queries, k = keys](index, index h) {
                        return reference::mask::shifted_groups(
                            q, k, size, by[static_cast<std::size_t>(h)], global, !wraps);
                      });
        }
}

TEST_CASE("Which heads are shifted") {
  using ints = std::vector<int>;
  CHECK(shifted_groups::shifts(4, 8) == ints{0, 0, 4, 4});
  CHECK(shifted_groups::shifts(8, 8, 0.5) == ints{0, 0, 0, 0, 4, 4, 0, 0});
  CHECK(shifted_groups::shifts(1, 8) == ints{4});
  CHECK(shifted_groups::shifts(4, 8, 0) == ints{0, 0, 0, 0});
  CHECK(shifted_groups::shifts(0, 8).empty());
}

TEST_CASE("Shifted groups refuse what does not fit") {
  const problem_shape shape{.batch = 1, .heads = 2, .queries = 6, .keys = 6};
  const std::vector<int> one{1}, far{0, 7}, minus{-1, 0};
  CHECK_THROWS_WITH((shifted_groups{0, 6}.check(shape)), ContainsSubstring("heed::shifted_groups"));
  CHECK_THROWS_WITH((shifted_groups{2, 5}.check(shape)), ContainsSubstring("call: 5, 6"));
  CHECK_THROWS_WITH((shifted_groups{2, 6, one}.check(shape)),
                    ContainsSubstring("1 numbers, 2 heads"));
  CHECK_THROWS_WITH((shifted_groups{2, 6, far}.check(shape)), ContainsSubstring("length]: 7"));
  CHECK_THROWS_WITH((shifted_groups{2, 6, minus}.check(shape)), ContainsSubstring("length]: -1"));
  CHECK_THROWS_WITH((shifted_groups{2, 6, {}, -1}.check(shape)), ContainsSubstring("global"));
}

}  // namespace heed::test
