// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/first_keys.hpp>
#include <heed/reference/mask/first_keys.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("first_keys, drawn") {
  CHECK(drawn(first_keys{2}, 2, 5) == drawing{"xx...", "xx..."});
  CHECK(drawn(first_keys{}, 2, 2) == drawing{"x.", "x."});
  CHECK(drawn(first_keys{9}, 1, 2) == drawing{"xx"});
  CHECK(drawn(first_keys{0}, 1, 2) == drawing{".."});
}

TEST_CASE("first_keys, against its reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const index n : {0, 1, 4, 200})
      check_mask(first_keys{n}, 1, queries, keys,
                 [&](index) { return reference::mask::first_keys(queries, keys, n); });
  check_vector(first_keys{3}, 20, 30);
}

TEST_CASE("first_keys refuses a negative count") {
  CHECK_THROWS_WITH(first_keys{-3}.check({}),
                    ContainsSubstring("heed::first_keys") && ContainsSubstring("-3"));
}

}  // namespace heed::test
