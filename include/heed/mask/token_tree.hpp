// SPDX-License-Identifier: BSL-1.0
// A tree of tokens: who comes before whom, numbered so that one comparison tells.
//
//   parents -1 0 0 1 1     0 - 1 - 3       intervals [0,5) [1,4) [4,5) [2,3) [3,4)
//                           \    `- 4      depth      0     1     1     2     2
//                            2
//
// j is an ancestor of i, or i itself, where in_j <= in_i < out_j: depth-first numbers. Parents
// stand before their children, so the tokens above one are ascending; they are kept as runs, each
// token of which is the parent of the next, so a path costs as many steps as it has runs. A forest
// is a tree whose root is not a token. One tree for all sequences, or one each.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <numeric>
#include <span>
#include <vector>

namespace heed {

class token_tree {
 public:
  // parents [n] or [batch, n]: the number of a token's parent in its tree, which is less than its
  // own; -1 for a root. Throws otherwise.
  static token_tree from_parents(std::span<const int> parents, index batch = 1) {
    return token_tree(parents, batch);
  }
  // in, out [n] or [batch, n], nested or disjoint, each enclosing one before those it encloses.
  static token_tree from_intervals(std::span<const int> in, std::span<const int> out,
                                   index batch = 1) {
    if (in.size() != out.size())
      check::fail(name, std::to_string(in.size()) + " beginnings for " +
                            std::to_string(out.size()) + " ends");
    return token_tree(parents_of(in, out, items(in.size(), batch), batch), batch);
  }
  // A trunk, and branches that hang from its last token: one question and several answers, or a
  // message tree of which the trunk is the image.
  static token_tree branches(index trunk, std::span<const int> lengths) {
    std::vector<int> parents;
    const auto add = [&](index count, index parent) {
      if (count < 0) check::fail(name, "lengths must not be negative: " + std::to_string(count));
      for (; count > 0; --count, parent = index(parents.size()) - 1)
        parents.push_back(static_cast<int>(parent));
    };
    add(trunk, -1);
    for (const int count : lengths) add(count, trunk - 1);
    return token_tree(parents, 1);
  }

  index batch() const { return batch_; }
  index size() const { return size_; }
  index depth(index b, index i) const { return at(b, i).depth; }
  index parent(index b, index i) const { return at(b, i).parent; }
  bool above(index b, index j, index i) const {
    const index inner = at(b, i).in;
    return at(b, j).in <= inner && inner < at(b, j).out;
  }
  // f(span) for the runs from the root down to token i.
  template <class F> void path(index b, index i, F f) const {
    constexpr index most = 32;
    span some[most];
    const index all = at(b, i).runs;
    for (index done = 0; done < all;) {
      index t = i, run = all;
      const auto up = [&] { t = at(b, at(b, t).run).parent, --run; };
      const index last = std::min(done + most, all);
      while (run > last) up();
      while (run > done) {
        some[run - 1 - done] = {at(b, t).run, t + 1};
        up();
      }
      for (; done < last; ++done) f(some[done % most]);
    }
  }

  // Position ids of the tokens, `first` for a root and one more from parent to child, [batch, n];
  // with those of the tokens 0 ... first - 1 before them, [batch, first + n].
  std::vector<index> positions(index first = 0) const { return ids(first, 0); }
  std::vector<index> positions_from_zero(index first) const { return ids(first, first); }

 private:
  static constexpr const char* name = "heed::token_tree";
  struct token {
    index parent = -1, depth = 0;
    index in = 0, out = 0;
    index run = 0, runs = 1;  // the first token of its run; runs on its path
  };

  token_tree(std::span<const int> parents, index batch)
      : batch_(batch), size_(items(parents.size(), batch)), tokens_(parents.size()) {
    for (index b = 0; b < batch_; ++b) {
      token* const t = tokens_.data() + b * size_;
      for (index i = 0; i < size_; ++i) {
        const index p = t[i].parent = parents[static_cast<std::size_t>(b * size_ + i)];
        if (p < -1 || p >= i)
          check::fail(name, "parents must stand before their children, or be -1: parent of " +
                                std::to_string(i) + " is " + std::to_string(p));
        t[i].run = p >= 0 && p == i - 1 ? t[p].run : i;
        if (p < 0) continue;
        t[i].depth = t[p].depth + 1;
        t[i].runs = t[p].runs + (p != i - 1);
      }
      number(t);
    }
  }
  // Depth-first numbers: `out` first counts the tokens below, then `in` is handed out in order.
  void number(token* t) const {
    for (index i = 0; i < size_; ++i) t[i].out = 1;
    for (index i = size_; i-- > 0;)
      if (t[i].parent >= 0) t[t[i].parent].out += t[i].out;
    std::vector<index> next(static_cast<std::size_t>(size_) + 1, 0);  // by parent, the root first
    for (index i = 0; i < size_; ++i) {
      index& from = next[static_cast<std::size_t>(t[i].parent + 1)];
      t[i].in = from, from += t[i].out;
      next[static_cast<std::size_t>(i + 1)] = t[i].in + 1;
    }
    for (index i = 0; i < size_; ++i) t[i].out += t[i].in;
  }
  static std::vector<int> parents_of(std::span<const int> in, std::span<const int> out, index n,
                                     index batch) {
    std::vector<int> parents(in.size(), -1), order(static_cast<std::size_t>(n)), open;
    for (index b = 0; b < batch; ++b) {
      const auto from = [&](int i) { return in[static_cast<std::size_t>(b * n + i)]; };
      const auto to = [&](int i) { return out[static_cast<std::size_t>(b * n + i)]; };
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](int x, int y) { return from(x) < from(y); });
      open.clear();
      int last = -1;
      for (const int i : order) {
        while (!open.empty() && to(open.back()) <= from(i)) open.pop_back();
        const bool twice = last >= 0 && from(last) == from(i);
        if (twice || to(i) <= from(i) || (!open.empty() && to(i) > to(open.back())))
          check::fail(name, "intervals must begin apart and be nested or disjoint: token " +
                                std::to_string(i) + " has [" + std::to_string(from(i)) + ", " +
                                std::to_string(to(i)) + ")");
        if (!open.empty()) parents[static_cast<std::size_t>(b * n + i)] = open.back();
        open.push_back(last = i);
      }
    }
    return parents;
  }
  static index items(std::size_t count, index batch) {
    if (batch < 1 || index(count) % batch != 0)
      check::fail(name, std::to_string(count) + " tokens are no batch of " + std::to_string(batch));
    return index(count) / batch;
  }
  const token& at(index b, index i) const {
    return tokens_[static_cast<std::size_t>((batch_ > 1 ? b * size_ : 0) + i)];
  }
  std::vector<index> ids(index first, index before) const {
    std::vector<index> all;
    for (index b = 0; b < batch_; ++b) {
      for (index i = 0; i < before; ++i) all.push_back(i);
      for (index i = 0; i < size_; ++i) all.push_back(first + depth(b, i));
    }
    return all;
  }

  index batch_ = 1, size_ = 0;
  std::vector<token> tokens_;
};

}  // namespace heed
