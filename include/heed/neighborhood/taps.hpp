// SPDX-License-Identifier: BSL-1.0
// The taps of a neighbourhood: the places of its window, in row-major order, and which key each
// query has there.
//
// Along an axis tap t is the t-th key of the window; of a causal axis it is counted from where the
// window would begin if it could reach out of the grid, so that with stride 1 the last tap is the
// query itself. A tap whose key lies out of the grid or behind the query is absent.
#pragma once

#include <heed/neighborhood/natten.hpp>
#include <vector>

namespace heed::detail {

// One axis, by coordinate; all but those counts within the group of a dilation.
class axis_taps {
 public:
  explicit axis_taps(const neighborhood_axis& a) : dilation(a.dilation) {
    for (index c = 0; c < a.size; ++c) {
      const index i = c / a.dilation, count = a.group_size(c);
      keys_.push_back(a.keys(i, count));
      const index leader = std::min(i / a.stride * a.stride + a.stride - 1, count - 1);
      first_.push_back(a.causal ? leader - a.window + 1 : keys_.back().begin);
    }
    queries_.assign(keys_.size(), span{a.size, 0});
    for (index c = 0; c < a.size; ++c)
      for (index j = keys(c).begin; j < keys(c).end; ++j) {
        span& by = queries_[at(c % a.dilation + j * a.dilation)];
        by.begin = std::min(by.begin, c / a.dilation), by.end = c / a.dilation + 1;
      }
  }

  index dilation;
  span keys(index c) const { return keys_[at(c)]; }        // that a query sees
  span queries(index c) const { return queries_[at(c)]; }  // that see a key: starts never move back
  index first(index c) const { return first_[at(c)]; }     // the key of tap 0, absent or not
  index coordinate(index c, index j) const { return c % dilation + j * dilation; }
  // Of query and key coordinates that see each other.
  index tap(index q, index k) const { return k / dilation - first(q); }

 private:
  static std::size_t at(index c) { return static_cast<std::size_t>(c); }
  std::vector<span> keys_, queries_;
  std::vector<index> first_;
};

// Those of a grid, whatever its dimension.
class grid_taps {
 public:
  template <int N> explicit grid_taps(const neighborhood<N>& grid) : count(1) {
    for (int n = 0; n < N; ++n) {
      axes.emplace_back(grid.axis(n));
      size.push_back(grid.size[std::size_t(n)]), window.push_back(grid.window[std::size_t(n)]);
      count *= window.back(), causal |= grid.causal[std::size_t(n)];
    }
  }

  std::vector<axis_taps> axes;
  std::vector<index> size, window;
  index count;  // taps of a query
  bool causal = false;

  // What query `token` sees, by runs along the last axis: f(first key, keys, tap of the first).
  // Tokens of a run are the dilation of that axis apart, and so are those below.
  template <class F> void each_run(index token, const F& f) const {
    each<true>(token, [&](index outer, index tap, const axis_taps& a, index c) {
      const span seen = a.keys(c);
      f(outer + a.coordinate(c, seen.begin), seen.size(), tap + seen.begin - a.first(c));
    });
  }
  // Who sees key `token`, by runs: f(first query, queries, tap(n) of the n-th).
  template <class F> void each_seer(index token, const F& f) const {
    each<false>(token, [&](index outer, index tap, const axis_taps& a, index c) {
      const span by = a.queries(c);
      f(outer + a.coordinate(c, by.begin), by.size(),
        [&](index n) { return tap + a.tap(a.coordinate(c, by.begin + n), c); });
    });
  }

 private:
  // f(tokens before the row, taps before it, the last axis, the coordinate there) for each row.
  template <bool Keys, class F> void each(index token, const F& f) const {
    rows<Keys>(token, 0, 0, 0, f);
  }
  template <bool Keys, class F>
  void rows(index token, std::size_t n, index outer, index tap, const F& f) const {
    index inner = 1;
    for (std::size_t m = n + 1; m < size.size(); ++m) inner *= size[m];
    const axis_taps& a = axes[n];
    const index c = token / inner % size[n];
    outer *= size[n], tap *= window[n];
    if (n + 1 == size.size()) return f(outer, tap, a, c);
    const span range = Keys ? a.keys(c) : a.queries(c);
    for (index j = range.begin; j < range.end; ++j) {
      const index other = a.coordinate(c, j);
      rows<Keys>(token, n + 1, outer + other, tap + (Keys ? a.tap(c, other) : a.tap(other, c)), f);
    }
  }
};

}  // namespace heed::detail
