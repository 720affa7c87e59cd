// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/reference/mask/where.hpp>

#include "support/masks.hpp"

namespace heed::test {

TEST_CASE("where, drawn") {
  CHECK(drawn(where([](const position& p) { return (p.q - p.k) % 2 == 0; }), 4, 4) ==
        drawing{"x.x.", ".x.x", "x.x.", ".x.x"});
  CHECK(drawn(where([](auto p) { return p.q >= p.k; }), 2, 3) == drawing{"xx.", "xxx"});
  CHECK(drawn(where([](const position& p) { return p.slot < p.row; }), 2, 3) ==
        drawing{"...", "x.."});
}

TEST_CASE("where, against its reference and in the engine") {
  const where each([](const position& p) { return (p.q * 7 + p.k * 5) % 3 != 0; });
  const where batches([](auto p) { return p.k - p.q <= 2 && p.q - p.k <= 30; });
  const where flag([](auto p) { return p.b == 1; });
  for (const auto& [queries, keys] : awkward()) {
    check_mask(each, 1, queries, keys, [q = queries, k = keys](index) {
      return reference::mask::where(q, k,
                                    [](index i, index j) { return (i * 7 + j * 5) % 3 != 0; });
    });
    check_mask(batches, 1, queries, keys, [q = queries, k = keys](index) {
      return reference::mask::where(q, k,
                                    [](index i, index j) { return j - i <= 2 && i - j <= 30; });
    });
    check_mask(flag, 2, queries, keys, [q = queries, k = keys](index b) {
      return reference::mask::where(q, k, [b](index, index) { return b == 1; });
    });
    check_mask(causal{} && each, 1, queries, keys, [q = queries, k = keys](index) {
      return reference::mask::where(
          q, k, [](index i, index j) { return j <= i && (i * 7 + j * 5) % 3 != 0; });
    });
  }
  check_vector(batches, 50, 90);
}

}  // namespace heed::test
