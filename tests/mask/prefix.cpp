// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/combine.hpp>
#include <heed/mask/document.hpp>
#include <heed/mask/prefix.hpp>
#include <heed/reference/mask/prefix.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("prefix, drawn") {
  const std::vector<int> count = {3, 0};
  CHECK(drawn(prefix{count}, 5, 5, 0) == drawing{"xxx..", "xxx..", "xxx..", "xxxx.", "xxxxx"});
  CHECK(drawn(prefix{count}, 2, 3, 1) == drawing{"xx.", "xxx"});
  CHECK(drawn(prefix{count}, 3, 1, 0) == drawing{"x", "x", "x"});
}

TEST_CASE("prefix, against its reference and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    const std::vector<int> count = {int(keys / 2), 0, int(keys + 3)};
    check_mask(prefix{count}, 3, queries, keys, [q = queries, k = keys, &count](index b) {
      return reference::mask::prefix(q, k, count[std::size_t(b)]);
    });
  }
  const std::vector<int> one = {7};
  check_mask(prefix{one}, 2, 30, 40, [](index) { return reference::mask::prefix(30, 40, 7); });
  check_vector(prefix{one}, 30, 40);
}

TEST_CASE("prefix refuses arrays that do not fit") {
  const problem_shape shape{.batch = 3, .queries = 3, .keys = 4};
  const std::vector<int> two = {1, 2}, negative = {0, -1, 2};
  CHECK_THROWS_WITH(prefix{two}.check(shape), ContainsSubstring("heed::prefix: count") &&
                                                  ContainsSubstring("2 entries, batch 3"));
  CHECK_THROWS_WITH(prefix{}.check(shape), ContainsSubstring("0 entries"));
  CHECK_THROWS_WITH(prefix{negative}.check(shape), ContainsSubstring("count[1] = -1"));
}

}  // namespace heed::test
