// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/rectangle.hpp>
#include <heed/reference/mask/rectangle.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;
using areas = std::vector<rectangle::area>;

TEST_CASE("rectangle, drawn") {
  const areas one = {{.q = {1, 3}, .k = {3, 5}}};
  CHECK(drawn(rectangle{one}, 5, 5) == drawing{"x....", "xx.xx", "xxxxx", "xxxx.", "xxxxx"});
  const areas of_item = {{.q = {0, 1}, .k = {1, 3}, .b = 1}};
  CHECK(drawn(rectangle{of_item}, 2, 3, 0) == drawing{"xx.", "xxx"});
  CHECK(drawn(rectangle{of_item}, 3, 3, 0) == drawing{"x..", "xx.", "xxx"});
  CHECK(drawn(rectangle{of_item}, 3, 3, 1) == drawing{"xxx", "xx.", "xxx"});
}

TEST_CASE("rectangle, against its reference and in the engine") {
  numbers random(11);
  for (const auto& [queries, keys] : awkward())
    for (const index count : {0, 1, 5, 40}) {
      areas list;
      std::vector<reference::mask::block> want;
      for (index i = 0; i < count; ++i) {
        const index q = random.below(keys + 1), k = random.below(keys + 1), rows = random.below(60),
                    columns = random.below(9);
        list.push_back({.q = {q, q + rows}, .k = {k, k + columns}});
        want.push_back({q, q + rows, k, k + columns});
      }
      check_mask(rectangle{list}, 1, queries, keys, [&, q = queries, k = keys](index) {
        return reference::mask::rectangle(q, k, want);
      });
    }
}

TEST_CASE("rectangle with more spans than a panel keeps") {
  areas list;
  std::vector<reference::mask::block> want;
  for (index k = 0; k < 100; k += 10) {
    list.push_back({.q = {5, 40 + k}, .k = {k, k + 7}});
    want.push_back({5, 40 + k, k, k + 7});
  }
  check_mask(rectangle{list}, 1, 100, 100,
             [&](index) { return reference::mask::rectangle(100, 100, want); });
}

TEST_CASE("rectangle merges what touches and overlaps") {
  const areas list = {{.q = {0, 9}, .k = {8, 9}},
                      {.q = {0, 9}, .k = {4, 6}},
                      {.q = {0, 9}, .k = {6, 8}},
                      {.q = {0, 9}, .k = {5, 7}}};
  std::vector<span> spans;
  rectangle{list}.intervals(at(12, 12, 2, 0), 12, [&](span s) { spans.push_back(s); });
  CHECK(spans == std::vector<span>{{0, 3}, {4, 9}});
}

TEST_CASE("rectangle refuses areas that do not fit") {
  const problem_shape shape{.batch = 2, .queries = 3, .keys = 4};
  const areas reversed = {{.q = {0, 1}, .k = {0, 1}}, {.q = {2, 1}, .k = {0, 1}}},
              negative = {{.q = {0, 1}, .k = {-1, 1}}},
              elsewhere = {{.q = {0, 1}, .k = {0, 1}, .b = 2}};
  CHECK_THROWS_WITH(
      rectangle{reversed}.check(shape),
      ContainsSubstring("heed::rectangle") && ContainsSubstring("areas[1] has q = [2, 1)"));
  CHECK_THROWS_WITH(rectangle{negative}.check(shape), ContainsSubstring("k = [-1, 1)"));
  CHECK_THROWS_WITH(rectangle{elsewhere}.check(shape),
                    ContainsSubstring("batch item") && ContainsSubstring("b = 2"));
}

}  // namespace heed::test
