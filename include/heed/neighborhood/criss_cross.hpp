// SPDX-License-Identifier: BSL-1.0
// neighborhood/criss_cross: on a grid of 2 or 3 dimensions a token sees its own row and its own
// column, itself once.
//
//   criss_cross<2>{{4, 5}}     query (1,2)   query (3,0)
//                              ..x..         x....
//                              xxxxx         x....
//                              ..x..         x....
//                              ..x..         xxxxx
//
// As a mask of `attention`, for tokens as `neighborhood` has them; in 3 dimensions a token sees the
// three lines through it. Columns run through all rows, so the tile loop computes most pairs and
// masks them. On large grids two calls do no more than is needed: `attend_along` rows,
// `attend_along` columns with a mask that hides the token itself, `merge` by lse; both gradients
// are those of `attend_along_backward` with the merged out and lse, and add up. Throws if an axis
// is empty. Huang et al., CCNet.
// CCNet, Huang et al. 2018.
#pragma once

#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <heed/neighborhood/grid.hpp>

namespace heed {

template <int N>
  requires(N == 2 || N == 3)
struct criss_cross {
  using sizes = std::array<index, N>;

  sizes size{};  // of the grid, the slowest axis first

  constexpr index tokens() const { return detail::grid_tokens(size); }
  constexpr sizes place(index token) const { return detail::grid_place(size, token); }

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const sizes q = place(at.q), k = place(at.k);
    int apart = 0;
    for (std::size_t n = 0; n < N; ++n) apart += q[n] != k[n];
    return apart <= 1;
  }
  template <class F> constexpr void intervals(const position& at, index, F emit) const {
    detail::joined_spans<F> spans(emit);
    lines<0>(place(at.q), 0, spans);
    spans.finish();
  }

  void check(const problem_shape& shape) const {
    for (std::size_t n = 0; n < N; ++n)
      if (size[n] < 1)
        check::fail("heed::criss_cross",
                    "axis " + std::to_string(n) + " is empty: size " + std::to_string(size[n]));
    if (shape.queries != tokens() || shape.keys != tokens() || shape.offset != 0)
      check::fail("heed::criss_cross", "a grid of " + std::to_string(tokens()) +
                                           " tokens needs as many queries and keys, from 0 on: " +
                                           std::to_string(shape.queries) + " and " +
                                           std::to_string(shape.keys));
  }

 private:
  // Of the subgrid that `before` picks, which `q` lies in.
  template <std::size_t Axis, class Spans>
  constexpr void lines(const sizes& q, index before, Spans& spans) const {
    before *= size[Axis];
    if constexpr (Axis + 1 == N) {
      spans.add({before, before + size[Axis]});
    } else {
      for (index i = 0; i < size[Axis]; ++i) {
        if (i == q[Axis]) {
          lines<Axis + 1>(q, before + i, spans);
          continue;
        }
        index token = before + i;
        for (std::size_t n = Axis + 1; n < N; ++n) token = token * size[n] + q[n];
        spans.add({token, token + 1});
      }
    }
  }
};

}  // namespace heed
