// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/full.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>

#include "support/masks.hpp"

namespace heed::test {

TEST_CASE("causal, drawn") {
  CHECK(drawn(causal{}, 3, 3) == drawing{"x..", "xx.", "xxx"});
  CHECK(drawn(causal{}, 2, 4) == drawing{"xxx.", "xxxx"});
  CHECK(drawn(causal{}, 4, 2) == drawing{"..", "..", "x.", "xx"});
  CHECK(drawn(causal{.shift = 2 - 4}, 2, 4) == drawing{"x...", "xx.."});
  CHECK(drawn(full{}, 2, 3) == drawing{"xxx", "xxx"});
}

TEST_CASE("causal and full, against their references and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    check_mask(causal{}, 1, queries, keys,
               [&](index) { return reference::mask::causal(queries, keys); });
    check_mask(causal{.shift = queries - keys}, 1, queries, keys,
               [&](index) { return reference::mask::causal_top_left(queries, keys); });
    check_mask(full{}, 1, queries, keys,
               [&](index) { return reference::mask::full(queries, keys); });
  }
  check_vector(causal{}, 30, 40);
  check_vector(causal{.shift = 3}, 30, 40);
}

}  // namespace heed::test
