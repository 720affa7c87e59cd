// SPDX-License-Identifier: BSL-1.0
// mask/tree: j is an ancestor of i, or i itself.
//
//   parents -1 0 0 1 1   the same after a prefix of 2   subsegments{9 9 1 1 2}
//   x....                x......                        x....
//   xx...                xx.....                        xx...
//   x.x..                xxx....                        xxx..
//   xx.x.                xxxx...                        xxxx.
//   xx..x                xxx.x..                        xx..x
//                        xxxx.x.
//                        xxxx..x
//
// `tree` takes a token_tree, borrowed for the call, of all keys; or, where `first` says at which
// position its first token sits, one or one a sequence, of those from there on: a draft to be
// verified, whose every token sees the whole prefix. The prefix itself is causal, and what follows
// the tree sees nothing and is not seen. One span a run, see token_tree. Rotary positions are
// `token_tree::positions(first)`. SpecInfer, Miao et al. 2023.
//
// `subsegments` is the packed form of Molmo 2: k <= q and id[q] <= id[k]. The trunk has the largest
// id, branches after it have ascending ones; ids [Lk] or [B, Lk], borrowed for the call. Every
// query walks the ids before it. Throws if an array does not fit the keys.
#pragma once

#include <algorithm>
#include <heed/mask/concept.hpp>
#include <heed/mask/token_tree.hpp>
#include <heed/mask/tokens.hpp>

namespace heed {

struct tree {
  const token_tree* of = nullptr;
  std::span<const int> first{};

  constexpr tree() = default;
  tree(const token_tree& t, std::span<const int> at = {}) : of(&t), first(at) {}  // NOLINT
  tree(token_tree&&, std::span<const int> = {}) = delete;  // would be gone before the call

  static constexpr bool exact = true;
  bool operator()(const position& at) const {
    const index from = begin(at.b), i = at.q - from, j = at.k - from;
    if (i < 0) return at.k <= at.q;
    if (i >= of->size() || j >= of->size()) return false;
    return j < 0 || of->above(at.b, j, i);
  }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    const index from = begin(at.b), i = at.q - from;
    span held{0, std::min(i < 0 ? at.q + 1 : i < of->size() ? from : 0, keys)};
    const auto next = [&](span s) {
      if (held.empty())
        held = s;
      else if (s.begin == held.end)
        held.end = s.end;
      else
        emit(held), held = s;
    };
    if (0 <= i && i < of->size())
      of->path(at.b, i, [&](span s) {
        s = {s.begin + from, std::min(s.end + from, keys)};
        if (!s.empty()) next(s);
      });
    if (!held.empty()) emit(held);
  }
  void check(const problem_shape& shape) const {
    const auto broken = [](const std::string& rule) { check::fail("heed::tree", rule); };
    if (!of) broken("there is no tree");
    if (of->batch() != 1 && of->batch() != shape.batch)
      broken("there must be one tree, or one a batch item: " + std::to_string(of->batch()) +
             " trees, batch " + std::to_string(shape.batch));
    if (first.empty() ? of->size() != shape.keys : of->size() > shape.keys)
      broken("a tree of " + std::to_string(of->size()) + " tokens does not fit " +
             std::to_string(shape.keys) + " keys");
    if (first.size() > 1 && index(first.size()) != shape.batch)
      broken("`first` must hold one position, or one a batch item: " +
             std::to_string(first.size()) + " positions, batch " + std::to_string(shape.batch));
    for (const int x : first)
      if (x < 0) broken("`first` must not be negative: " + std::to_string(x));
  }

 private:
  index begin(index b) const {
    return first.empty() ? 0 : first[first.size() == 1 ? 0 : static_cast<std::size_t>(b)];
  }
};

struct subsegments {
  tokens ids{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return ids.holds(at.q) && ids.holds(at.k) && at.k <= at.q && ids(at.b, at.q) <= ids(at.b, at.k);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (!ids.holds(at.q)) return;
    span held{};
    for (index j = 0; j < std::min(at.q + 1, keys); ++j) {
      if (ids(at.b, j) < ids(at.b, at.q)) continue;
      if (j != held.end) {
        if (!held.empty()) emit(held);
        held.begin = j;
      }
      held.end = j + 1;
    }
    if (!held.empty()) emit(held);
  }
  void check(const problem_shape& shape) const { ids.check("heed::subsegments", "ids", shape); }
};

}  // namespace heed
