// SPDX-License-Identifier: BSL-1.0
// Attention along block maps, forward and backward.
#include <heed/mask/causal.hpp>
#include <heed/mask/global_local.hpp>
#include <heed/mask/power_of_two.hpp>
#include <heed/mask/strided.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/reference/mask/global_local.hpp>
#include <heed/reference/mask/power_of_two.hpp>
#include <heed/reference/mask/strided.hpp>

#include "support/backward_call.hpp"
#include "support/block_maps.hpp"

namespace heed::test {

namespace {

template <class M, class Truth> void check_attended(const M& m, Truth truth) {
  for (const auto& [queries, keys] : awkward())
    for (const block_size& size : sizes()) {
      CAPTURE(queries, keys, size.rows, size.keys);
      check_engine(block_map(m, shape_of(queries, keys, 1, 2), size), 1, queries, keys,
                   [&, q = queries, k = keys](index) { return truth(q, k); });
    }
}

}  // namespace

TEST_CASE("Attention along maps of exact masks") {
  check_attended(power_of_two{4, 2, 1}, [](index queries, index keys) {
    return reference::mask::power_of_two(queries, keys, 4, 2, 1);
  });
}
TEST_CASE("Attention along maps of masks that are asked") {
  check_attended(strided{7}, [](index queries, index keys) {
    return reference::mask::strided(queries, keys, 7);
  });
}

TEST_CASE("Lists for heads, for groups of them and for items") {
  for (const auto& [queries, keys] : awkward()) {
    const index lq = queries, lk = keys;
    const bigbird m{.block = 4, .window = 3, .global = 1, .random = 2, .keys = keys};
    check_heads(block_map(m, shape_of(lq, lk), {.rows = 4, .keys = 4, .heads = 4}), 1, lq, lk,
                [&](index, index h) { return reference::mask::bigbird(lq, lk, 4, 3, 1, 2, 0, h); });
    const auto pairs = where([](const position& p) {
      return (p.q + p.k + p.h / 2 + 2 * p.b) % 5 != 0 && (p.k / 8 + p.h / 2 + p.b) % 3 != 0;
    });
    const block_map by_pairs(pairs, shape_of(lq, lk, 2), {40, 8, 2, 2});
    CHECK(by_pairs.block_heads() == 2);
    check_heads(by_pairs, 2, lq, lk, [&](index b, index h) {
      return allowed_of(drawn(head_of<decltype(pairs)>{pairs, h}, lq, lk, b), lk);
    });
  }
}

TEST_CASE("Gradients along a map are those of its mask") {
  const auto check = [](const auto& m, const auto& map) {
    const backward_shape shape{.lq = 70, .lk = 171, .d = 17, .dv = 20};
    backward_call<double> got(shape), want(shape);
    want.run(attention{.mask = m});
    got.run(attention{.mask = map});
    check_same(got, want, 1e-12);
  };
  const backward_shape shape{};
  const problem_shape p{
      .batch = shape.b, .heads = shape.h, .queries = 70, .keys = 171, .offset = 101};
  check(power_of_two{8, 2, 1}, block_map(power_of_two{8, 2, 1}, p, {.rows = 32, .keys = 24}));
}

}  // namespace heed::test
