// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/window.hpp>
#include <heed/reference/mask/window.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("A window, drawn") {
  CHECK(drawn(window{.left = 1}, 5, 5) == drawing{"x....", "xx...", ".xx..", "..xx.", "...xx"});
  CHECK(drawn(window{.left = 1, .right = 1}, 5, 5) ==
        drawing{"xx...", "xxx..", ".xxx.", "..xxx", "...xx"});
  CHECK(drawn(window{.left = 1}, 2, 4) == drawing{".xx.", "..xx"});
  CHECK(drawn(window{.left = 0}, 3, 2) == drawing{"..", "x.", ".x"});
  CHECK(drawn(window{}, 2, 3) == drawing{"xx.", "xxx"});
  CHECK(drawn(window{.right = window::unbounded}, 2, 3) == drawing{"xxx", "xxx"});
}

TEST_CASE("A window, against its reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const auto& [left, right] : {std::pair<index, index>{0, 0}, {3, 0}, {0, 4}, {40, 7}})
      check_mask(window{left, right}, 1, queries, keys,
                 [&](index) { return reference::mask::window(queries, keys, left, right); });
  check_vector(window{.left = 3, .right = 2}, 40, 50);
  check_vector(window{}, 20, 20);
}

TEST_CASE("A window emits one span") {
  int spans = 0;
  window{.left = 10}.intervals(at(1000, 1000, 500, 0), 1000, [&](span s) {
    ++spans;
    CHECK(s == span{490, 501});
  });
  CHECK(spans == 1);
}

TEST_CASE("A window refuses negative sides") {
  CHECK_THROWS_WITH((window{.left = -1}).check({}),
                    ContainsSubstring("heed::window") && ContainsSubstring("left = -1"));
  CHECK_THROWS_WITH((window{.right = -2}).check({}),
                    ContainsSubstring("heed::window") && ContainsSubstring("right = -2"));
}

}  // namespace heed::test
