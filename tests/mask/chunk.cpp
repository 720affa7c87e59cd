// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/chunk.hpp>
#include <heed/reference/mask/chunk.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("Chunks, drawn") {
  CHECK(drawn(chunk{.size = 2}, 6, 6) ==
        drawing{"xx....", "xx....", "..xx..", "..xx..", "....xx", "....xx"});
  CHECK(drawn(chunk{.size = 2, .previous = 1}, 6, 6) ==
        drawing{"xx....", "xx....", "xxxx..", "xxxx..", "..xxxx", "..xxxx"});
  CHECK(drawn(block_causal{.size = 2}, 6, 6) ==
        drawing{"xx....", "xx....", "xxxx..", "xxxx..", "xxxxxx", "xxxxxx"});
  CHECK(drawn(chunk{.size = 2}, 2, 5) == drawing{"..xx.", "....x"});
  CHECK(drawn(chunk{.size = 2}, 3, 1) == drawing{".", ".", "x"});
  CHECK(drawn(chunk{.size = 2, .previous = 1}, 3, 1) == drawing{".", ".", "x"});
  constexpr index all = std::numeric_limits<index>::max();
  CHECK(drawn(chunk{.size = all, .previous = 1}, 4, 1) == drawing{".", ".", ".", "x"});
}

TEST_CASE("Chunks, against their references and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const index c : {1, 3, 32, 1000}) {
      check_mask(chunk{c}, 1, queries, keys,
                 [&](index) { return reference::mask::chunk(queries, keys, c); });
      check_mask(chunk{c, 1}, 1, queries, keys,
                 [&](index) { return reference::mask::chunk_with_previous(queries, keys, c); });
      check_mask(block_causal{c}, 1, queries, keys,
                 [&](index) { return reference::mask::block_causal(queries, keys, c); });
    }
}

TEST_CASE("Chunks refuse an empty size and a negative reach") {
  CHECK_THROWS_WITH(chunk{0}.check({}), ContainsSubstring("heed::chunk") &&
                                            ContainsSubstring("size") && ContainsSubstring("0"));
  CHECK_THROWS_WITH((chunk{4, -1}).check({}),
                    ContainsSubstring("previous") && ContainsSubstring("-1"));
  CHECK_THROWS_WITH(block_causal{-2}.check({}),
                    ContainsSubstring("heed::block_causal") && ContainsSubstring("-2"));
}

}  // namespace heed::test
