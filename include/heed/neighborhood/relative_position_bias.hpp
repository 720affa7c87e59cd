// SPDX-License-Identifier: BSL-1.0
// neighborhood/relative_position_bias: s + table[h][f(k - q)] on a grid, one number for every way
// in which a key may lie to its query inside a window, as in NATTEN and Swin.
//
// The table is a view [1, H|1, Π(2W - 1), 1] with free strides: Swin's [Π(2W - 1)][H] has head
// stride 1 and entry stride H. Along an axis the entry is (k - q) / dilation + W - 1, in [0, 2W -
// 2]; the axes are in row-major order, the slowest first. So an entry is place(k) - place(q) +
// origin(), and drivers that know where their rows lie ask for `place` once a row. Pairs further
// apart than a window, or of different groups of a dilation, are for the mask to hide: they get
// some number of the table. Cost: a load and an add a pair, and here a few divisions. Liu et al.,
// Swin Transformer; Hassani et al., Neighborhood Attention Transformer.
// Swin, Liu et al. 2021.
#pragma once

#include <algorithm>
#include <array>
#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>

namespace heed {

template <int N>
  requires(N >= 1 && N <= 3)
struct relative_position_bias {
  using sizes = std::array<index, N>;

  static constexpr sizes all(index n) {
    sizes every{};
    every.fill(n);
    return every;
  }

  operand table;
  sizes size{};  // of the grid, the slowest axis first
  sizes window{};
  sizes dilation = all(1);

  // That of a neighbourhood, or of anything else with these members.
  template <class Grid>
  static constexpr relative_position_bias of(const Grid& grid, const operand& table) {
    return {table, grid.size, grid.window, grid.dilation};
  }

  constexpr index tokens() const { return product(size, 1, 0); }
  constexpr index entries() const { return product(window, 2, -1); }
  // The entry of a query and a key in the same place: every axis in the middle.
  constexpr index origin() const { return (entries() - 1) / 2; }
  constexpr index place(index token) const {
    index at = 0, step = 1;
    for (std::size_t n = N; n-- > 0; token /= size[n], step *= 2 * window[n] - 1)
      at += token % size[n] / dilation[n] * step;
    return at;
  }
  // Within the table for any two tokens.
  constexpr index entry(index q, index k) const {
    return std::clamp<index>(place(k) - place(q) + origin(), 0, entries() - 1);
  }

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + broadcast::element<S>(table, 0, at.h,
                                     entry(static_cast<index>(at.q), static_cast<index>(at.k)), 0);
  }
  // ds'/ds = 1; d table[h][e] sums ds over the pairs that meet in e
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  struct gradient {
    result table;  // as the table
  };
  index sums(const gradient& g) const { return broadcast::sums(g.table); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::relative_position_bias", table, g.table);
  }
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T*, const T* ds, double* sum) const {
    if (!g.table.present()) return;
    constexpr index block = 64;
    index places[block];
    double* const to = sum + broadcast::sum_at(g.table, 0, at.h, 0, 0);
    const index last = entries() - 1;
    for (index lane = 0; lane < at.rows; lane += block) {
      const index rows = std::min(block, at.rows - lane);
      for (index i = 0; i < rows; ++i) places[i] = place(at.q + lane + i) - origin();
      for (index j = 0; j < at.keys; ++j) {
        const index key = place(at.key(j));
        const T* const d = ds + j * at.pitch + lane;
        for (index i = 0; i < rows; ++i)
          if (d[i] != T(0)) to[std::clamp<index>(key - places[i], 0, last)] += double(d[i]);
      }
    }
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.table, sum); }

  // The numbers of one head. Queries and keys are known by their positions alone, so they need not
  // be consecutive.
  template <class Arch, class T> struct head {
    const T* values;
    const relative_position_bias* of;
    template <class V, class At> V operator()(const V& s, const At& at) const {
      if constexpr (simd::number<V>) {
        return s + V(values[of->entry(static_cast<index>(at.q), static_cast<index>(at.k))]);
      } else {
        T x[simd::width<T, Arch>], q[simd::width<T, Arch>], k[simd::width<T, Arch>];
        simd::store(q, V(at.q)), simd::store(k, V(at.k));
        for (index i = 0; i < simd::width<T, Arch>; ++i)
          x[i] = values[of->entry(static_cast<index>(q[i]), static_cast<index>(k[i]))];
        return s + simd::load<T, Arch>(x);
      }
    }
  };
  template <class Arch, class T> head<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const values = scratch;
    scratch += entries();
    broadcast::load(table, 0, at.h, 0, 0, 2, entries(), values);
    return {values, this};
  }
  index scratch(index, index) const { return entries(); }

  void check(const problem_shape& shape) const {
    constexpr const char* name = "heed::relative_position_bias";
    for (std::size_t n = 0; n < N; ++n)
      if (size[n] < 1 || window[n] < 1 || dilation[n] < 1)
        check::fail(name, "axis " + std::to_string(n) + " must have a size, a window and a " +
                              "dilation of at least 1: " + std::to_string(size[n]) + ", " +
                              std::to_string(window[n]) + ", " + std::to_string(dilation[n]));
    if (shape.queries != tokens() || shape.keys != tokens() || shape.offset != 0)
      check::fail(name, "a grid of " + std::to_string(tokens()) +
                            " tokens needs as many queries and keys, from 0 on: " +
                            std::to_string(shape.queries) + " and " + std::to_string(shape.keys));
    if (table.extent[2] != entries())
      check::fail(name, "the table is " + check::print(table.extent) + ", but these windows need " +
                            std::to_string(entries()) + " entries");
    broadcast::check(name, "the table", table, {1, shape.heads, entries(), 1});
  }

 private:
  // Π(a·x + b)
  static constexpr index product(const sizes& x, index a, index b) {
    index n = 1;
    for (const index each : x) n *= a * each + b;
    return n;
  }
};

}  // namespace heed
