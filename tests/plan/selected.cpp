// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/selected.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/mask/window.hpp>
#include <heed/reference/plan/selected.hpp>

#include "support/block_lists.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// Rows of a block below and above a vector, blocks of keys below and above a tile; lists for all,
// for kv heads and for every head.
const std::vector<listing>& listings() {
  static const std::vector<listing> all = {
      {1, 1, 1, 64, 64}, {2, 4, 1, 128, 32}, {2, 2, 2, 40, 17},   {1, 2, 2, 1, 16},
      {2, 4, 1, 1, 1},   {1, 1, 1, 7, 5},    {2, 2, 2, 200, 300}, {1, 4, 1, 2, 64}};
  return all;
}
const std::vector<lengths_of>& lengths() {
  static const std::vector<lengths_of> all = {{1, 1}, {5, 0}, {64, 64}, {97, 131}, {210, 310}};
  return all;
}

static_assert(lists_blocks<selected<full>> && lists_blocks<selected<causal>>);

template <class M, class Truth> void check_selected(const M& inside, Truth truth) {
  for (const listing& x : listings())
    for (const auto& [queries, keys] : lengths())
      for (const index percent : {15, 100}) {
        const auto made = random_lists(x, queries, keys, percent, 3);
        const auto lists = made.lists();
        const auto q = uniform({2, 4, queries, 5}, 1), k = uniform({2, 2, keys, 5}, 2),
                   v = uniform({2, 2, keys, 3}, 3);
        CAPTURE(x.rows, x.keys, x.heads, queries, keys, percent);
        const selected mask{lists, inside};
        check_properties(mask, queries, keys);
        check_result_of_heads(attended(attention{.mask = mask}, q, k, v), q, k, v,
                              [&](index b, index h) {
                                return reference::plan::selected(lists, b, h, truth(queries, keys));
                              });
      }
}

}  // namespace

TEST_CASE("Selected blocks, drawn") {
  const std::vector<index> offsets{0, 1, 3, 5};
  const std::vector<int> blocks{0, 0, 1, 0, 2};
  const block_lists lists{.offsets = offsets, .blocks = blocks, .rows = 2, .keys = 2};
  CHECK(drawn(selected{lists, causal{}}, 6, 6) ==
        drawing{"x.....", "xx....", "xxx...", "xxxx..", "xx..x.", "xx..xx"});
  CHECK(drawn(selected{lists}, 6, 5) ==
        drawing{"xx...", "xx...", "xxxx.", "xxxx.", "xx..x", "xx..x"});
}

TEST_CASE("Selected blocks against the reference") {
  check_selected(full{},
                 [](index queries, index keys) { return reference::mask::full(queries, keys); });
}
TEST_CASE("Causal inside selected blocks") {
  check_selected(causal{},
                 [](index queries, index keys) { return reference::mask::causal(queries, keys); });
}
TEST_CASE("A window inside selected blocks") {
  check_selected(window{.left = 40, .right = 9}, [](index queries, index keys) {
    return reference::mask::window(queries, keys, 40, 9);
  });
}
TEST_CASE("Pairs asked inside selected blocks") {
  const auto odd = where{[](const position& p) { return (p.q * 7 + p.k * 5) % 3 != 0; }};
  check_selected(odd, [&](index queries, index keys) {
    allowed a(queries, keys);
    for (index i = 0; i < queries; ++i)
      for (index j = 0; j < keys; ++j) a(i, j) = odd(at(queries, keys, i, j));
    return a;
  });
}

TEST_CASE("Scores that grow from block to block") {
  const listing x{1, 2, 2, 1, 8};
  const auto made = random_lists(x, 60, 60, 40, 9);
  auto q = uniform({1, 4, 60, 5}, 1), k = uniform({1, 2, 60, 5}, 2), v = uniform({1, 2, 60, 3}, 3);
  for (index i = 0; i < 60; ++i) {
    for (index h = 0; h < 4; ++h) q(0, h, i, 0) = 1;
    for (index h = 0; h < 2; ++h) k(0, h, i, 0) = float(i);
  }
  check_result_of_heads(
      attended(attention{.mask = selected{made.lists()}}, q, k, v), q, k, v, [&](index b, index h) {
        return reference::plan::selected(made.lists(), b, h, reference::mask::full(60, 60));
      });
}

TEST_CASE("Selected blocks name the first list that breaks a rule") {
  const problem_shape shape{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 4, .keys = 10};
  const auto refuse = [&](std::vector<index> offsets, std::vector<int> blocks, const char* what,
                          index heads = 1) {
    const block_lists lists{
        .offsets = offsets, .blocks = blocks, .heads = heads, .rows = 2, .keys = 5};
    CHECK_THROWS_WITH((selected{lists}.check(shape)),
                      ContainsSubstring("heed::selected") && ContainsSubstring(what));
  };
  refuse({0, 1, 2}, {0, 2}, "list 1");
  refuse({0, 2, 3}, {1, 0, 1}, "list 0");
  refuse({0, 2, 3}, {0, 0, 1}, "list 0");
  refuse({0, 1, 2}, {-1, 0}, "list 0");
  refuse({0, 1}, {0}, "a list for each");
  refuse({1, 1, 2}, {0, 1}, "start at 0");
  refuse({0, 1, 1}, {0, 1}, "end at");
  refuse({0, 2, 1}, {0, 1}, "end at");
  refuse({0, 3, 2}, {0, 1}, "decrease");
  refuse({0, 1, 2}, {0, 1}, "query heads", 3);
}

}  // namespace heed::test
