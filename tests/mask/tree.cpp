// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/tree.hpp>
#include <heed/reference/mask/tree.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

using ints = std::vector<int>;

// Chains that end now and then, at a token chosen at random; several roots.
ints grown(index count, unsigned seed, index chain) {
  numbers random(seed);
  ints parents;
  for (index i = 0; i < count; ++i)
    parents.push_back(int(i > 0 && random.below(chain) > 0 ? i - 1 : random.below(i + 1) - 1));
  return parents;
}
reference::indices wide(const ints& x) { return {x.begin(), x.end()}; }

// The numbers of a tree, by asking which tokens are above which.
std::pair<ints, ints> intervals_of(const ints& parents, int scale) {
  const token_tree t = token_tree::from_parents(parents);
  ints in, out;
  for (index i = 0; i < t.size(); ++i) {
    index before = 0, below = 0;  // in depth-first order with children as they stand
    for (index j = 0; j < t.size(); ++j) {
      below += t.above(0, i, j);
      index x = i, y = j;  // the children of the last common token on either path
      if (t.above(0, i, j) && i != j) continue;
      if (t.above(0, j, i)) {
        before += i != j;
        continue;
      }
      while (t.depth(0, x) > t.depth(0, y)) x = t.parent(0, x);
      while (t.depth(0, y) > t.depth(0, x)) y = t.parent(0, y);
      while (t.parent(0, x) != t.parent(0, y)) x = t.parent(0, x), y = t.parent(0, y);
      before += y < x;
    }
    in.push_back(scale * int(before)), out.push_back(scale * int(before + below));
  }
  return {in, out};
}

}  // namespace

TEST_CASE("Trees, drawn") {
  const ints parents = {-1, 0, 0, 1, 1}, two = {2}, ids = {9, 9, 1, 1, 2};
  const token_tree t = token_tree::from_parents(parents);
  CHECK(drawn(tree{t}, 5, 5) == drawing{"x....", "xx...", "x.x..", "xx.x.", "xx..x"});
  CHECK(drawn(tree{t, two}, 7, 7) ==
        drawing{"x......", "xx.....", "xxx....", "xxxx...", "xxx.x..", "xxxx.x.", "xxxx..x"});
  CHECK(drawn(tree{t, two}, 2, 7) == drawing{"xxxx.x.", "xxxx..x"});
  CHECK(drawn(tree{t, two}, 2, 9) == drawing{".........", "........."});
  CHECK(drawn(subsegments{ids}, 5, 5) == drawing{"x....", "xx...", "xxx..", "xxxx.", "xx..x"});
}

TEST_CASE("Branches of a trunk are its subsegments") {
  const ints lengths = {3, 0, 2}, ids = {9, 9, 1, 1, 1, 3, 3};
  const token_tree t = token_tree::branches(2, lengths);
  CHECK(drawn(tree{t}, 7, 7) == drawn(subsegments{ids}, 7, 7));
  CHECK(t.positions(10) == std::vector<index>{10, 11, 12, 13, 14, 12, 13});
  CHECK(token_tree::branches(0, lengths).positions() == std::vector<index>{0, 1, 2, 0, 1});
}

TEST_CASE("Trees, against their reference and in the engine") {
  for (const auto& [queries, keys] : awkward())
    for (const index chain : {1, 2, 30})
      for (const index first : {index{0}, keys / 3, keys}) {
        const ints parents = grown(keys - first, 3, chain), at = {int(first)};
        const token_tree t = token_tree::from_parents(parents);
        const auto want = [&, q = queries, k = keys](index) {
          return reference::mask::tree(q, k, wide(parents), first);
        };
        check_mask(tree{t, at}, 1, queries, keys, want);
        if (first == 0) check_mask(tree{t}, 1, queries, keys, want);
      }
}

TEST_CASE("A path of many runs is emitted from the root") {
  ints parents = {-1, -1};  // two branches that take turns
  while (parents.size() < 151) parents.push_back(int(parents.size()) - 2);
  const token_tree t = token_tree::from_parents(parents);
  check_mask(tree{t}, 1, 150, 151,
             [&](index) { return reference::mask::tree(150, 151, wide(parents), 0); });
}

TEST_CASE("Each sequence may have a tree and a prefix of its own") {
  const index keys = 60;
  const ints one = grown(20, 5, 3), two = grown(20, 6, 2), first = {40, 33};
  ints both = one;
  both.insert(both.end(), two.begin(), two.end());
  const token_tree t = token_tree::from_parents(both, 2), shared = token_tree::from_parents(one);
  check_mask(tree{t, first}, 2, 20, keys, [&](index b) {
    return reference::mask::tree(20, keys, wide(b ? two : one), first[std::size_t(b)]);
  });
  check_mask(tree{shared, first}, 2, 33, keys, [&](index b) {
    return reference::mask::tree(33, keys, wide(one), first[std::size_t(b)]);
  });
}

TEST_CASE("Intervals and parents say the same") {
  for (const index chain : {1, 3, 12}) {
    const ints parents = grown(40, 8, chain);
    const auto [in, out] = intervals_of(parents, 3);
    const token_tree t = token_tree::from_parents(parents),
                     same = token_tree::from_intervals(in, out);
    const auto depth = reference::mask::depths(wide(parents));
    for (index i = 0; i < t.size(); ++i) {
      CHECK(same.parent(0, i) == t.parent(0, i));
      CHECK(t.depth(0, i) == depth[std::size_t(i)]);
    }
  }
}

TEST_CASE("subsegments, against their reference and in the engine") {
  numbers random(4);
  for (const auto& [queries, keys] : awkward()) {
    ints ids;
    while (index(ids.size()) < keys)
      ids.insert(ids.end(), std::size_t(1 + random.below(30)), int(random.below(4)));
    ids.resize(std::size_t(keys));
    check_mask(subsegments{ids}, 1, queries, keys,
               [&, q = queries](index) { return reference::mask::subsegments(q, wide(ids)); });
  }
}

TEST_CASE("Position ids are depths") {
  const ints parents = {-1, 0, 0, 1, -1, 2};
  const token_tree t = token_tree::from_parents(parents);
  CHECK(t.positions() == std::vector<index>{0, 1, 1, 2, 0, 2});
  CHECK(t.positions_from_zero(2) == std::vector<index>{0, 1, 2, 3, 3, 4, 2, 4});
}

TEST_CASE("Malformed trees are refused") {
  const ints later = {1, -1}, self = {0}, low = {-2}, three = {-1, -1, -1}, in = {0, 1},
             crossing = {2, 3}, same = {0, 0}, ends = {2, 1}, empty = {0, 2}, minus = {-1},
             none = {};
  CHECK_THROWS_WITH(token_tree::from_parents(later),
                    ContainsSubstring("heed::token_tree") && ContainsSubstring("parent of 0 is 1"));
  CHECK_THROWS_WITH(token_tree::from_parents(self), ContainsSubstring("parent of 0 is 0"));
  CHECK_THROWS_WITH(token_tree::from_parents(low), ContainsSubstring("parent of 0 is -2"));
  CHECK_THROWS_WITH(token_tree::from_parents(three, 2), ContainsSubstring("no batch of 2"));
  CHECK_THROWS_WITH(token_tree::from_parents(none, 0), ContainsSubstring("no batch of 0"));
  CHECK_THROWS_WITH(token_tree::from_intervals(in, crossing),
                    ContainsSubstring("token 1 has [1, 3)"));
  CHECK_THROWS_WITH(token_tree::from_intervals(same, ends), ContainsSubstring("begin apart"));
  CHECK_THROWS_WITH(token_tree::from_intervals(in, minus), ContainsSubstring("2 beginnings"));
  CHECK_THROWS_WITH(token_tree::from_intervals(same, same),
                    ContainsSubstring("nested or disjoint"));
  const ints backwards_in = {1, 0}, backwards_out = {2, 3};  // the outer one comes second
  CHECK_THROWS_WITH(token_tree::from_intervals(backwards_in, backwards_out),
                    ContainsSubstring("parent of 0 is 1"));
  CHECK_THROWS_WITH(token_tree::branches(-1, in), ContainsSubstring("negative"));
  CHECK_THROWS_WITH(token_tree::branches(1, minus), ContainsSubstring("negative"));

  const problem_shape shape{.batch = 2, .queries = 3, .keys = 4};
  const token_tree t = token_tree::from_parents(three);
  CHECK_THROWS_WITH(tree{}.check(shape), ContainsSubstring("heed::tree: there is no tree"));
  CHECK_THROWS_WITH(tree{t}.check(shape), ContainsSubstring("3 tokens does not fit 4 keys"));
  CHECK_THROWS_WITH(tree(t, three).check(shape), ContainsSubstring("3 positions, batch 2"));
  CHECK_THROWS_WITH(tree(t, minus).check(shape), ContainsSubstring("negative: -1"));
  const token_tree pair = token_tree::from_parents(three, 3);
  const ints zero = {0};
  CHECK_THROWS_WITH(tree(pair, zero).check(shape), ContainsSubstring("3 trees, batch 2"));
  const token_tree large = token_tree::branches(5, none);
  CHECK_THROWS_WITH(tree(large, zero).check(shape), ContainsSubstring("5 tokens does not fit"));
  STATIC_REQUIRE(!std::is_constructible_v<tree, token_tree>);
  CHECK_THROWS_WITH(subsegments{three}.check(shape), ContainsSubstring("heed::subsegments: ids"));
}

}  // namespace heed::test
