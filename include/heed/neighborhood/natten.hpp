// SPDX-License-Identifier: BSL-1.0
// neighborhood/natten: on a grid of 1, 2 or 3 dimensions a query sees the keys of a window around
// it, axis by axis.
//
//   neighborhood<2>{{4, 5}, {3, 3}}     query (0,0)   query (1,2)   query (3,4)
//                                       xxx..         .xxx.         .....
//                                       xxx..         .xxx.         ..xxx
//                                       xxx..         .xxx.         ..xxx
//                                       .....         .....         ..xxx
//
// As a mask of `attention`: q, k and v have the grid's tokens in their length, the last axis
// fastest; an image [B,Y,X,H,D] is as<"BLLHD">(x). Per axis (`neighborhood_axis` has the rule): a
// window, even or odd, is shifted inwards at the ends and keeps its size; `stride` queries share
// the window of one of them; `dilation` d takes every d-th token; a causal axis sees nothing behind
// the query. window = stride is block attention, window = size attention to everything. Cost:
// pixels times window. Throws if an axis is empty, or unless 1 <= stride <= window and window *
// dilation <= size.
// Hassani et al., Neighborhood Attention Transformer, 2022; dilated 2022, fused 2024, strided 2025.
#pragma once

#include <array>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <heed/neighborhood/axis.hpp>
#include <heed/neighborhood/grid.hpp>
#include <heed/neighborhood/patches.hpp>

namespace heed {

template <int N>
  requires(N >= 1 && N <= 3)
struct neighborhood {
  using sizes = std::array<index, N>;

  static constexpr sizes all(index n) {
    sizes every{};
    every.fill(n);
    return every;
  }

  sizes size{};  // of the grid, the slowest axis first
  sizes window{};
  sizes stride = all(1);
  sizes dilation = all(1);
  std::array<bool, N> causal{};

  constexpr neighborhood_axis axis(int n) const {
    const auto i = static_cast<std::size_t>(n);
    return {size[i], window[i], stride[i], dilation[i], causal[i]};
  }
  constexpr index tokens() const { return detail::grid_tokens(size); }
  // Coordinates of a token.
  constexpr sizes place(index token) const { return detail::grid_place(size, token); }

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const sizes q = place(at.q), k = place(at.k);
    for (int n = 0; n < N; ++n)
      if (!axis(n).sees(q[std::size_t(n)], k[std::size_t(n)])) return false;
    return true;
  }
  template <class F> constexpr void intervals(const position& at, index, F emit) const {
    rows<0>(place(at.q), 0, emit);
  }

  // The plan of attention/patches.hpp.
  detail::grid_patches<N> panel_patches(index lanes, index vectors) const {
    std::array<neighborhood_axis, N> axes;
    for (int n = 0; n < N; ++n) axes[std::size_t(n)] = axis(n);
    return {axes, lanes, vectors};
  }

  void check(const problem_shape& shape) const {
    for (int n = 0; n < N; ++n) {
      const neighborhood_axis a = axis(n);
      if (a.size < 1) broken(n, "is empty");
      if (a.dilation < 1) broken(n, "has a dilation below 1");
      if (a.stride < 1 || a.stride > a.window) broken(n, "must have 1 <= stride <= window");
      if (a.window > a.size / a.dilation)
        broken(n, "is shorter than its window times its dilation");
    }
    if (shape.queries != tokens() || shape.keys != tokens() || shape.offset != 0)
      check::fail("heed::neighborhood", "a grid of " + std::to_string(tokens()) +
                                            " tokens needs as many queries and keys, from 0 on: " +
                                            std::to_string(shape.queries) + " and " +
                                            std::to_string(shape.keys));
  }

 private:
  template <int Axis, class F>
  constexpr void rows(const sizes& q, index before, const F& emit) const {
    const neighborhood_axis a = axis(Axis);
    const index at = q[std::size_t(Axis)], first = at % a.dilation;
    const span seen = a.keys(at / a.dilation, a.group_size(at));
    before *= a.size;
    if constexpr (Axis + 1 < N) {
      for (index i = seen.begin; i < seen.end; ++i)
        rows<Axis + 1>(q, before + first + i * a.dilation, emit);
    } else if (a.dilation == 1) {
      emit(span{before + seen.begin, before + seen.end});
    } else {
      for (index i = seen.begin; i < seen.end; ++i)
        emit(span{before + first + i * a.dilation, before + first + i * a.dilation + 1});
    }
  }
  [[noreturn]] void broken(int n, const char* rule) const {
    const neighborhood_axis a = axis(n);
    check::fail("heed::neighborhood",
                "axis " + std::to_string(n) + " " + rule + ": size " + std::to_string(a.size) +
                    ", window " + std::to_string(a.window) + ", stride " +
                    std::to_string(a.stride) + ", dilation " + std::to_string(a.dilation));
  }
};

}  // namespace heed
