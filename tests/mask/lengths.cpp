// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/lengths.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("lengths, drawn") {
  const std::vector<int> keys = {3, 0}, queries = {2, 3};
  const lengths m{.keys = keys, .queries = queries};
  CHECK(drawn(m, 3, 5, 0) == drawing{"xxx..", "xxx..", "....."});
  CHECK(drawn(m, 3, 5, 1) == drawing{".....", ".....", "....."});
  CHECK(drawn(lengths{.keys = keys}, 2, 4, 0) == drawing{"xxx.", "xxx."});
  CHECK(drawn(lengths{.queries = queries}, 3, 2, 0) == drawing{"xx", "xx", ".."});
  CHECK(drawn(lengths{}, 1, 2) == drawing{"xx"});
}

TEST_CASE("lengths, against their reference and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    const std::vector<int> of_keys = {int(keys), 0, int(keys / 2)},
                           of_queries = {int(queries / 3), int(queries), 0};
    const auto both = [q = queries, k = keys, &of_queries, &of_keys](index b) {
      return reference::mask::lengths(q, k, of_queries[std::size_t(b)], of_keys[std::size_t(b)]);
    };
    check_mask(lengths{of_keys, of_queries}, 3, queries, keys, both);
    check_mask(causal{} && lengths{of_keys, of_queries}, 3, queries, keys,
               [&, q = queries, k = keys](index b) {
                 return allowed(both(b) && reference::mask::causal(q, k));
               });
    check_mask(lengths{.keys = of_keys}, 3, queries, keys, [&, q = queries, k = keys](index b) {
      return reference::mask::lengths(q, k, q, of_keys[std::size_t(b)]);
    });
  }
}

TEST_CASE("lengths refuse arrays that do not fit") {
  const problem_shape shape{.batch = 2, .queries = 3, .keys = 4};
  const std::vector<int> three = {1, 2, 3}, negative = {0, -1}, longer = {5, 1};
  CHECK_THROWS_WITH(lengths{three}.check(shape), ContainsSubstring("heed::lengths: keys") &&
                                                     ContainsSubstring("3 lengths, batch 2"));
  CHECK_THROWS_WITH(lengths{negative}.check(shape), ContainsSubstring("keys[1] = -1"));
  CHECK_THROWS_WITH(lengths{longer}.check(shape),
                    ContainsSubstring("keys[0] = 5") && ContainsSubstring("0 .. 4"));
  CHECK_THROWS_WITH((lengths{{}, longer}).check(shape),
                    ContainsSubstring("queries[0] = 5") && ContainsSubstring("0 .. 3"));
}

}  // namespace heed::test
