// SPDX-License-Identifier: BSL-1.0
// Random neighbourhoods on grids of one to three dimensions, with other policies around them.
#pragma once

#include <heed/neighborhood/natten.hpp>
#include <heed/neighborhood/relative_position_bias.hpp>

#include "fuzz/run.hpp"

namespace heed::fuzz {

// A call whose queries and keys are the tokens of a grid.
struct grid_call : call {
  neighborhood<3> grid;  // the leading axes of extent 1 where there are fewer

  grid_call(engine& bits, int axes, index most_pairs) : call(bits) {
    placed = true;
    const bool slides = chance(2);
    const index most[3][3] = {{1, 1, 150}, {1, 12, 41}, {5, 6, 20}};
    for (std::size_t n = 0; n < 3; ++n) {
      index &size = grid.size[n], &window = grid.window[n], &dilation = grid.dilation[n];
      size = from(1, most[axes - 1][n]);
      dilation = chance(3) ? from(1, std::min<index>(size, 4)) : 1;
      window = from(1, std::min<index>(size / dilation, from(2, 13)));
      grid.stride[n] = slides || chance(2) ? 1 : chance(3) ? window : from(1, window);
      grid.causal[n] = chance(5);
    }
    const index tokens = grid.tokens();
    if (shape.batch * shape.heads * tokens * tokens > most_pairs)
      shape.batch = batch = 1, shape.kv_heads = 1, shape.heads = from(1, 2);
    shape.queries = shape.keys = tokens;
    shape.offset = 0;
  }
  // The last N axes of x.
  template <int N, class T> static std::array<T, N> last(const std::array<T, 3>& x) {
    std::array<T, N> y{};
    std::copy(x.end() - N, x.end(), y.begin());
    return y;
  }
};

template <class Mask> inline constexpr int axes_of = 0;
template <int N> inline constexpr int axes_of<neighborhood<N>> = N;
template <class A, class B> inline constexpr int axes_of<both_masks<A, B>> = axes_of<A>;

template <int N> neighborhood<N> draw(tag<neighborhood<N>>, call& c) {
  const neighborhood<3>& grid = static_cast<grid_call&>(c).grid;
  return {grid_call::last<N>(grid.size), grid_call::last<N>(grid.window),
          grid_call::last<N>(grid.stride), grid_call::last<N>(grid.dilation),
          grid_call::last<N>(grid.causal)};
}
// The table may reach further than the windows.
template <int N> relative_position_bias<N> draw(tag<relative_position_bias<N>>, call& c) {
  auto bias = relative_position_bias<N>::of(draw(tag<neighborhood<N>>{}, c), {});
  for (index& w : bias.window)
    if (c.chance(6)) w += c.from(1, 2);
  bias.table = c.exactly({1, c.chance(3) ? 1 : c.shape.heads, bias.entries(), 1}, -2, 2);
  return bias;
}

using grid_table = std::tuple<
    // clang-format off
    // 0
    of<neighborhood<1>, dot, none, softmax, rope>,
    of<neighborhood<2>, dot, none, softmax>,
    // 2
    of<neighborhood<3>, dot, relative_position_bias<3>, softmax, none, none, none, extra_slots>,
    of<neighborhood<2>, dot, chain<softcap, relative_position_bias<2>>, sink_softmax, qk_norm, doubled_rows, output_gate, extra_slots>,
    // 4
    of<neighborhood<2>, cosine, slanted_score, sigmoid>,
    of<neighborhood<3>, distance, bias, signed_softmax>,
    // 6
    of<neighborhood<1>, feature_product<elu1_feature>, uneven_score, linear, none, none, output_bias>,
    of<both_masks<neighborhood<2>, where<far_apart>>, additive<>, relative_position_bias<2>, custom<square_weight>, doubled_rows>
    // clang-format on
    >;

struct grid_forward {
  static constexpr const char* name = "grid spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    grid_call c(random, axes_of<decltype(Spec::mask)>, 100000);
    check_call<Spec>(c, scratch, seen);
  }
};

}  // namespace heed::fuzz
