// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/global_local.hpp>
#include <heed/reference/mask/global_local.hpp>

#include "support/head_of.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

reference::indices wide(const std::vector<int>& x) { return {x.begin(), x.end()}; }

std::vector<int> some_of(index count, index one_in, unsigned seed) {
  numbers random(seed);
  std::vector<int> list;
  for (index i = 0; i < count; ++i)
    if (random.below(one_in) == 0) list.push_back(int(i));
  return list;
}

}  // namespace

TEST_CASE("Global tokens, drawn") {
  const std::vector<int> two{0, 3}, one{2};
  CHECK(drawn(global_tokens{two}, 6, 6) ==
        drawing{"xxxxxx", "x..x..", "x..x..", "xxxxxx", "x..x..", "x..x.."});
  CHECK(drawn(longformer(1, {one}), 6, 6) ==
        drawing{"xxx...", "xxx...", "xxxxxx", "..xxx.", "..xxxx", "..x.xx"});
}

TEST_CASE("BigBird, drawn") {
  CHECK(drawn(bigbird{1, 3, 1, 1, 7}, 7, 7) ==
        drawing{"xxxxxxx", "xxx...x", "xxxx..x", "x.xxxx.", "xx.xxx.", "xx..xxx", "x.x..xx"});
  CHECK(drawn(bigbird{.block = 2, .window = 3, .global = 1, .random = 1, .keys = 14}, 3, 14) ==
        drawing{"xxxx....xxxxxx", "xx..xx....xxxx", "xx..xx....xxxx"});
}

TEST_CASE("Longformer, against its reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const index one_in : {2, 9, 1000}) {
      const std::vector<int> list = some_of(keys, one_in, 5);
      for (const index step : {1, 3})
        for (const index reach : {0, 4, 60})
          check_mask(longformer(reach, {list}, step), 1, queries, keys,
                     [&, q = queries, k = keys](index) {
                       return reference::mask::longformer(q, k, reach, step, wide(list));
                     });
    }
}

TEST_CASE("Global tokens in vectors") {
  for (const auto& [queries, keys] : awkward())
    for (const index one_in : {1, 3, 40}) {
      const std::vector<int> list = some_of(keys, one_in, 8);
      check_vector(global_tokens{list}, queries, keys);
      check_vector(longformer(3, {list}, 2), queries, keys);
    }
}

TEST_CASE("Longformer with steps by head and lists by item") {
  const std::vector<int> steps{1, 2, 5, 1};
  for (const auto& [queries, keys] : awkward()) {
    const std::vector<int> first = some_of(keys, 7, 6), second = some_of(keys, 20, 7);
    std::vector<int> both = first;
    both.insert(both.end(), second.begin(), second.end());
    const std::vector<int> items{0, int(first.size()), int(both.size())};
    check_heads(longformer(6, {both, items}, steps), 2, queries, keys,
                [&, q = queries, k = keys](index b, index h) {
                  return reference::mask::longformer(q, k, 6, steps[static_cast<std::size_t>(h)],
                                                     wide(b ? second : first));
                });
  }
}

TEST_CASE("BigBird, against its reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (bigbird m : {bigbird{1, 3, 2, 3},
                      {4, 1, 0, 2},
                      {16, 5, 1, 3},
                      {3, 3, 1, 32},
                      {},
                      {2, 1, 0, 0},
                      {5, 7, 100, 3}})
      for (const unsigned seed : {0u, 11u}) {
        m.keys = keys, m.seed = seed;
        check_heads(m, 1, queries, keys, [&, q = queries, k = keys](index, index h) {
          return reference::mask::bigbird(q, k, m.block, m.window, m.global, m.random, seed, h);
        });
      }
}

TEST_CASE("Random blocks are spread evenly and never repeat") {
  const index blocks = 40, rows = 4000;
  const bigbird m{.block = 1, .window = 1, .global = 0, .random = 3, .keys = blocks, .seed = 5};
  std::vector<index> drawn_at(static_cast<std::size_t>(blocks));
  for (index h = 0; h < rows / blocks; ++h)
    for (index q = 0; q < blocks; ++q) {
      index count = 0;
      for (index k = 0; k < blocks; ++k)
        if (m({.h = h, .q = q, .k = k})) ++count, drawn_at[static_cast<std::size_t>(k)] += k != q;
      CHECK(count == 4);
    }
  // 4000 rows, 3 of 39 blocks: 300 each, with a deviation of about 17.
  for (const index n : drawn_at) CHECK(std::abs(double(n) - 300) < 5 * 17);
}

TEST_CASE("Global and local masks refuse what does not fit") {
  const problem_shape shape{.batch = 2, .heads = 2, .queries = 4, .keys = 6};
  const std::vector<int> twice{1, 1}, far{2, 6}, minus{-1}, down{3, 2}, two{1, 4, 0},
      items{0, 2, 3}, short_items{0, 3}, broken{0, 2, 4};
  CHECK_THROWS_WITH(global_tokens{twice}.check(shape),
                    ContainsSubstring("heed::global_tokens") && ContainsSubstring("1 after 1"));
  CHECK_THROWS_WITH(global_tokens{far}.check(shape), ContainsSubstring("6 keys: 6 after 2"));
  CHECK_THROWS_WITH(global_tokens{minus}.check(shape), ContainsSubstring("-1 after -1"));
  CHECK_THROWS_WITH(global_tokens{down}.check(shape), ContainsSubstring("2 after 3"));
  CHECK_NOTHROW(global_tokens(two, items).check(shape));
  CHECK_THROWS_WITH(global_tokens(two, short_items).check(shape), ContainsSubstring("2 for 2"));
  CHECK_THROWS_WITH(global_tokens(two, broken).check(shape), ContainsSubstring("items"));
  CHECK_THROWS_WITH((bigbird{.block = 0, .keys = 6}.check(shape)),
                    ContainsSubstring("heed::bigbird: size must be at least 1"));
  CHECK_THROWS_WITH((bigbird{.window = 2, .keys = 6}.check(shape)),
                    ContainsSubstring("odd number of blocks: 2"));
  CHECK_THROWS_WITH((bigbird{.global = -1, .keys = 6}.check(shape)), ContainsSubstring("global"));
  CHECK_THROWS_WITH((bigbird{.random = 33, .keys = 6}.check(shape)), ContainsSubstring("33"));
  CHECK_THROWS_WITH((bigbird{.keys = 5}.check(shape)), ContainsSubstring("of the call, 6: 5"));
}

}  // namespace heed::test
