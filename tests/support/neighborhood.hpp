// SPDX-License-Identifier: BSL-1.0
// Neighbourhood attention against its reference.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/kv/extra.hpp>
#include <heed/neighborhood/relative_position_bias.hpp>

#include "support/exact.hpp"
#include "support/grids.hpp"

namespace heed::test {

/// A grid and the operands of a call on it.
template <int N> struct grid_case {
  neighborhood<N> grid;
  index b = 1, h = 1, kv = 1, d = 8, dv = 8;

  index tokens() const { return grid.tokens(); }
  index entries() const { return relative_position_bias<N>::of(grid, {}).entries(); }
  extents q() const { return {b, h, tokens(), d}; }
  extents k() const { return {b, kv, tokens(), d}; }
  extents v() const { return {b, kv, tokens(), dv}; }
  extents out() const { return {b, h, tokens(), dv}; }
  extents rows() const { return {b, h, tokens(), 1}; }
  std::string name() const {
    std::string text;
    for (int n = 0; n < N; ++n) {
      const neighborhood_axis a = grid.axis(n);
      text += "[" + std::to_string(a.size) + " window " + std::to_string(a.window) + " stride " +
              std::to_string(a.stride) + " dilation " + std::to_string(a.dilation) +
              (a.causal ? " causal] " : "] ");
    }
    return text + "B " + std::to_string(b) + " H " + std::to_string(h) + "/" + std::to_string(kv) +
           " D " + std::to_string(d) + " " + std::to_string(dv) + " ";
  }
};

/// What is learned or added besides q, k and v; absent where its extent is 0.
struct grid_extras {
  tensor<float> bias{{0, 0, 0, 0}}, k{{0, 0, 0, 0}}, v{{0, 0, 0, 0}};
};

/// out and lse of every head against the reference, from the operands as they were stored.
/// `rounding`: of what is stored, as a share of it.
template <class T, int N, class Q, class K, class V, class O, class L>
void check_grid(const grid_case<N>& x, const tensor<Q>& q, const tensor<K>& k, const tensor<V>& v,
                const tensor<O>& out, const tensor<L>& lse, double scale,
                const grid_extras& more = {}, double rounding = 0, const std::string& what = "") {
  namespace natten = reference::neighborhood;
  for (index b = 0; b < x.b; ++b)
    for (index h = 0; h < x.h; ++h) {
      const index kv = natten::key_head(h, x.h, x.kv);
      natten::more also;
      if (more.bias.extent[2] > 0)
        also.bias = more.bias.head(0, more.bias.extent[1] == 1 ? 0 : h).col(0);
      if (more.k.extent[2] > 0)
        also.extra_k = more.k.head(0, kv), also.extra_v = more.v.head(0, kv);
      const auto expected =
          natten::natten(axes_of(x.grid), q.head(b, h), k.head(b, kv), v.head(b, kv), scale, also);
      const double largest =
          std::max(1.0, std::abs(scale) * q.head(b, h).rowwise().norm().maxCoeff() *
                            k.head(b, kv).rowwise().norm().maxCoeff());
      const double allowed = tolerance<T>(8, x.d, largest);
      const std::string where = what + x.name() + "head " + std::to_string(h);
      check_close(out.head(b, h), expected.out,
                  allowed + rounding * (1 + expected.out.cwiseAbs().maxCoeff()), where);
      check_close(lse.head(b, h), expected.lse,
                  allowed + rounding * expected.lse.cwiseAbs().maxCoeff(), where + " lse");
    }
}

/// attend with no policy but the mask; computes in T.
template <class T, int N, class Q = T, class K = Q, class V = Q, class O = V>
void check_attend(const grid_case<N>& x, double rounding = 0) {
  const auto q = random<Q>(x.q(), 1);
  const auto k = random<K>(x.k(), 2);
  const auto v = random<V>(x.v(), 3);
  auto out = unwritten<O>(x.out());
  auto lse = unwritten<O>(x.rows());
  attend(attention{.mask = x.grid}, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  check_grid<T>(x, q, k, v, out, lse, 1 / std::sqrt(double(x.d)), {}, rounding);
  auto again = unwritten<O>(x.out());
  attend(attention{.mask = x.grid}, q.in(), k.in(), v.in(), again.in());
  CHECK(again.data == out.data);
}

}  // namespace heed::test
