// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/block_map.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/power_of_two.hpp>
#include <heed/mask/strided.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/reference/mask/block_map.hpp>

#include "support/block_maps.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// The blocks of a mask, and that its map is the same mask.
template <class M> void check_map(const M& m) {
  for (const auto& [queries, keys] : awkward())
    for (const block_size& size : sizes()) {
      CAPTURE(queries, keys, size.rows, size.keys);
      const block_map map(m, shape_of(queries, keys), size);
      const reference::allowed truth = allowed_of(drawn(m, queries, keys), keys);
      CHECK(printed(map) ==
            reference::mask::block_map(truth, reference::mask::even_bounds(size.rows, queries),
                                       reference::mask::even_bounds(size.keys, keys)));
      REQUIRE(drawn(map, queries, keys) == drawn(truth));
      check_properties(map, queries, keys);
    }
}

struct third {
  bool operator()(const position& p) const { return (p.q * 7 + p.k * 5) % 3 != 0; }
};

static_assert(lists_blocks<block_map<full>> && lists_blocks<block_map<strided>>);
static_assert(!lists_blocks<block_map<full, block_bounds>> && mask<block_map<full, block_bounds>>);

}  // namespace

TEST_CASE("Block maps, printed") {
  const auto m = causal{} && window{.left = 3};
  const block_map map(m, shape_of(8, 8), {.rows = 2, .keys = 2});
  CHECK(printed(map) == "+...\n#+..\n+#+.\n.+#+\n");
  CHECK(map.density() == 9 / 16.);
  const block_map odd(m, shape_of(7, 8), {.rows = 4, .keys = 3});
  CHECK(printed(odd) == "++.\n+++\n");
  CHECK(odd.density() == (4 * 6 + 3 * 8) / 56.);
}

TEST_CASE("Block maps of masks with exact spans") {
  check_map(causal{} && window{.left = 40});
  check_map(full{});
}
TEST_CASE("Block maps of masks with many spans") { check_map(power_of_two{4, 2, 1}); }
TEST_CASE("Block maps of masks that are asked") {
  check_map(strided{7});
  check_map(strided{100});
  check_map(where(third{}));
  check_map(causal{} && dilated_window{.left = 9, .step = 4});
}

TEST_CASE("Several lists are printed under their names") {
  const auto m = where([](const position& p) { return p.h >= 2 || p.b == 1; });
  const block_map map(m, shape_of(3, 3, 2), {2, 2, 2, 2});
  CHECK(printed(map) ==
        "batch 0, head 0\n..\n..\nbatch 0, head 1\n##\n##\nbatch 1, head 0\n##\n##\n"
        "batch 1, head 1\n##\n##\n");
  CHECK(map.density() == 0.75);
}

TEST_CASE("Blocks with sizes of their own") {
  const auto m = causal{} && window{.left = 50};
  const block_bounds bounds{{0, 1, 30, 96, 130}, {0, 100, 101, 190, 257}};
  const block_map map(m, shape_of(130, 257), bounds);
  const reference::allowed truth = allowed_of(drawn(m, 130, 257), 257);
  CHECK(printed(map) == reference::mask::block_map(truth, bounds.rows, bounds.keys));
  check_mask(map, 1, 130, 257, [&](index) { return truth; });
}

TEST_CASE("Lists of the caller's") {
  const std::vector<index> offsets{0, 2, 3, 4};
  const std::vector<int> blocks{0, 2, 1, 0};
  const std::vector<cover> covers{cover::some, cover::all, cover::none, cover::all};
  const block_map map(causal{}, shape_of(6, 6), block_size{2, 2},
                      block_csr{offsets, blocks, covers});
  CHECK(printed(map) == "+.#\n...\n#..\n");
  const drawing rows{"x...xx", "xx..xx", "......", "......", "xx....", "xx...."};
  check_mask(map, 1, 6, 6, [&](index) { return allowed_of(rows, 6); });
  CHECK(printed(block_map(full{}, shape_of(6, 6), block_size{2, 2}, block_csr{offsets, blocks})) ==
        "#.#\n.#.\n#..\n");
  CHECK(printed(block_map(causal{}, shape_of(6, 6), block_bounds{{0, 1, 2, 6}, {0, 3, 4, 6}},
                          block_csr{offsets, blocks})) == "+.+\n.+.\n+..\n");
}

namespace {
struct backwards {
  index workers() const { return 3; }
  template <class F> void for_each(index n, F&& f) const {
    for (index i = n; i-- > 0;) f(i, i % 3);
  }
};
}  // namespace
TEST_CASE("Threads build the same map") {
  const strided m{37};
  const block_size size{16, 16};
  CHECK(printed(block_map(m, shape_of(300, 300), size, backwards{})) ==
        printed(block_map(m, shape_of(300, 300), size)));
}

TEST_CASE("Block maps refuse what does not fit") {
  const problem_shape shape = shape_of(6, 8);
  const auto make = [&](const block_size& size) { block_map(causal{}, shape, size); };
  CHECK_THROWS_WITH(make({0, 2}), ContainsSubstring("heed::block_map: rows of a block"));
  CHECK_THROWS_WITH(make({2, -1}), ContainsSubstring("keys of a block must be at least 1: -1"));
  CHECK_THROWS_WITH(make({2, 2, 3}), ContainsSubstring("divide the query heads: 3"));
  CHECK_THROWS_WITH(make({2, 2, 0}), ContainsSubstring("divide the query heads: 0"));
  CHECK_THROWS_WITH(make({2, 2, 1, 2}), ContainsSubstring("of the batch: 2"));
  CHECK_THROWS_WITH(block_map(window{-1}, shape, block_size{}), ContainsSubstring("heed::window"));
  const auto bound = [&](const block_bounds& x) { block_map(causal{}, shape, x); };
  CHECK_THROWS_WITH(bound({{0, 6}, {1, 8}}), ContainsSubstring("bounds of keys must start at 0"));
  CHECK_THROWS_WITH(bound({{0, 3, 3, 6}, {0, 8}}), ContainsSubstring("ascend: 3 after 3"));
  CHECK_THROWS_WITH(bound({{0, 6}, {0, 7}}), ContainsSubstring("must end at 8: 7"));
  CHECK_THROWS_WITH(bound({{}, {0, 8}}), ContainsSubstring("bounds of rows must start at 0"));

  const std::vector<int> one{1}, far{4}, twice{1, 1}, up{1, 3}, down{3, 2}, minus{-1};
  const std::vector<index> single{0, 1, 1, 1}, pair{0, 0, 2, 2}, back{0, 2, 1, 2}, few{0, 1};
  const std::vector<cover> two(2, cover::all);
  const auto own = [&](const block_csr& lists) {
    block_map(causal{}, shape, block_size{2, 2}, lists);
  };
  CHECK_NOTHROW(own({single, one}));
  CHECK_THROWS_WITH(own({few, one}), ContainsSubstring("over 3 lists: there are 2 offsets"));
  CHECK_THROWS_WITH(own({}), ContainsSubstring("there are 0 offsets"));
  CHECK_THROWS_WITH(own({single, twice}), ContainsSubstring("number of blocks, 2"));
  CHECK_THROWS_WITH(own({back, up}), ContainsSubstring("first broken at list 1"));
  CHECK_THROWS_WITH(own({single, far}), ContainsSubstring("list 0 must ascend") &&
                                            ContainsSubstring("4 blocks: 4 after -1"));
  CHECK_THROWS_WITH(own({single, minus}), ContainsSubstring("-1 after -1"));
  CHECK_THROWS_WITH(own({pair, twice}),
                    ContainsSubstring("list 1 must ascend") && ContainsSubstring("1 after 1"));
  CHECK_THROWS_WITH(own({pair, down}), ContainsSubstring("2 after 3"));
  CHECK_THROWS_WITH(own({single, one, two}), ContainsSubstring("cover for each of the 1 blocks"));

  const block_map map(causal{}, shape, {.rows = 2, .keys = 2});
  CHECK_NOTHROW(map.check(shape));
  CHECK_NOTHROW(map.check(shape_of(6, 8, 3, 8)));
  CHECK_THROWS_WITH(map.check(shape_of(5, 8)), ContainsSubstring("for 6 queries, the call has 5"));
  CHECK_THROWS_WITH(map.check(shape_of(6, 9)), ContainsSubstring("for 8 keys"));
  problem_shape moved = shape;
  moved.offset = 0;
  CHECK_THROWS_WITH(map.check(moved), ContainsSubstring("position of the first query"));
  const block_map each(causal{}, shape_of(6, 8, 2), {2, 2, 4, 2});
  CHECK_THROWS_WITH(each.check(shape_of(6, 8, 2, 8)), ContainsSubstring("4 query heads"));
  CHECK_THROWS_WITH(each.check(shape), ContainsSubstring("2 items"));
}

}  // namespace heed::test
