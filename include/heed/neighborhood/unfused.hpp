// SPDX-License-Identifier: BSL-1.0
// neighborhood/unfused: the two halves of neighbourhood attention, for those who need the weights.
//
//   neighborhood_qk(grid, q, k, a)         a [B,H,L,ΠW] = c · q·k, absent taps -inf
//   …                                      softmax, a bias, dropout: the caller's, on a
//   neighborhood_av(grid, a, v, out)       out_i = Σ_t a_it v_t
//
// q [B,H,L,D], k [B,Hkv,L,D], v [B,Hkv,L,Dv] on the grid's L tokens, any strides and element types.
// Taps are the places of a window in row-major order (`neighborhood/taps.hpp`); only causal axes
// have absent ones, whose weights are never read. Everything computes in float, or in double if all
// that is read is double; same bits for any executor; throws std::invalid_argument before anything
// is written. Cost: 2 · L · ΠW · D flops and L · ΠW numbers a head; `attend` keeps none.
// Hassani et al., Neighborhood Attention Transformer.
// NATTEN, Hassani et al. 2022.
#pragma once

#include <cmath>
#include <heed/attention/spec.hpp>
#include <heed/neighborhood/unfused_loops.hpp>
#include <initializer_list>

namespace heed {

namespace detail {

// Operands of one half, `a` those of [B,H,L,taps], `x` as queries, `y` as keys; what is absent
// among the optional ones is not checked.
struct unfused_operands {
  const char* operation;
  check::named x, y;
  std::initializer_list<check::named> a;
  std::initializer_list<check::named> like_x{}, like_y{};
};

template <int N> void check_unfused(const neighborhood<N>& grid, const unfused_operands& o) {
  const extents &x = o.x.value.extent, &y = o.y.value.extent;
  const auto broken = [&](const std::string& rule) {
    check::fail(o.operation, rule, {o.x, o.y, *o.a.begin()});
  };
  const auto fits = [&](const check::named& given, const extents& e, bool needed) {
    if (given.value.present() ? given.value.extent != e : needed && e[0] * e[1] * e[2] * e[3] > 0)
      check::fail(o.operation, std::string(given.name) + " must be " + check::print(e),
                  {given, o.x, o.y});
  };
  for (std::size_t i = 0; i < 4; ++i)
    if (x[i] < 0 || y[i] < 0) broken("extents must not be negative");
  if (x[0] != y[0]) broken("operands must have the same batch");
  if (x[1] > 0 && (y[1] == 0 || x[1] % y[1] != 0))
    broken("query heads must be a multiple of key heads");
  if (x[3] != y[3]) broken("rows that meet must have the same channels");
  grid.check({.queries = x[2], .keys = y[2]});
  index taps = 1;
  for (const index w : grid.window) taps *= w;
  fits(o.x, x, true), fits(o.y, y, true);
  for (const check::named& a : o.a) fits(a, {x[0], x[1], x[2], taps}, &a == o.a.begin());
  for (const check::named& each : o.like_x) fits(each, x, false);
  for (const check::named& each : o.like_y) fits(each, y, false);
}

template <class T, class Arch, int N, class F>
HEED_NOINLINE void unfused(const neighborhood<N>& grid, const unfused_operands& o,
                           const executor_ref& executor, const workspace_ref& scratch, const F& f) {
  check_unfused(grid, o);
  const extents &x = o.x.value.extent, &y = o.y.value.extent;
  if (x[0] * y[1] * x[2] == 0) return;
  const grid_taps taps(grid);
  unfused_loops<T, Arch> loops(taps, x[0], x[1], y[1], x[2], executor, scratch);
  f(loops);
}
template <class T> T unfused_scale(double scale, index depth) {
  return T(std::isnan(scale) ? 1 / std::sqrt(double(std::max<index>(depth, 1))) : scale);
}

}  // namespace detail

template <class Arch = simd::best, int N, storable Q, storable K>
void neighborhood_qk(const neighborhood<N>& grid, const view<Q>& q, const view<K>& k,
                     const result& a, double scale = automatic, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K>;
  const operand x = view<const Q>(q), y = view<const K>(k);
  detail::unfused<T, Arch>(grid, {"heed::neighborhood_qk", {"q", x}, {"k", y}, {{"a", a}}},
                           executor, scratch, [&](auto& loops) {
                             loops.dots(x, y, detail::unfused_scale<T>(scale, q.extent[3]),
                                        -std::numeric_limits<T>::infinity(), a);
                           });
}
// dq_i = c Σ_t da_it k_t, dk_j = c Σ_i da_it q_i; what is absent is not computed.
template <class Arch = simd::best, int N, storable Q, storable K, storable A>
void neighborhood_qk_backward(const neighborhood<N>& grid, const view<Q>& q, const view<K>& k,
                              const view<A>& da, const result& dq, const result& dk,
                              double scale = automatic, const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, A>;
  const operand x = view<const Q>(q), y = view<const K>(k), by = view<const A>(da);
  detail::unfused<T, Arch>(grid,
                           {"heed::neighborhood_qk_backward",
                            {"q", x},
                            {"k", y},
                            {{"da", by}},
                            {{"dq", dq}},
                            {{"dk", dk}}},
                           executor, scratch, [&](auto& loops) {
                             const T c = detail::unfused_scale<T>(scale, q.extent[3]);
                             if (dq.present()) loops.gather(by, y, c, dq);
                             if (dk.present()) loops.scatter(by, x, c, dk);
                           });
}

template <class Arch = simd::best, int N, storable A, storable V>
void neighborhood_av(const neighborhood<N>& grid, const view<A>& a, const view<V>& v,
                     const result& out, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  using T = compute_type<A, V>;
  const operand weights = view<const A>(a), y = view<const V>(v);
  detail::unfused<T, Arch>(
      grid, {"heed::neighborhood_av", {"out", out}, {"v", y}, {{"a", weights}}}, executor, scratch,
      [&](auto& loops) { loops.gather(weights, y, T(1), out); });
}
// da_it = dout_i·v_t, 0 for absent taps, dv_j = Σ_i a_it dout_i; what is absent is not computed.
template <class Arch = simd::best, int N, storable A, storable V, storable O>
void neighborhood_av_backward(const neighborhood<N>& grid, const view<A>& a, const view<V>& v,
                              const view<O>& d_out, const result& da, const result& dv,
                              const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  using T = compute_type<A, V, O>;
  const operand weights = view<const A>(a), y = view<const V>(v), x = view<const O>(d_out);
  detail::unfused<T, Arch>(grid,
                           {"heed::neighborhood_av_backward",
                            {"d_out", x},
                            {"v", y},
                            {{"a", weights}, {"da", da}},
                            {},
                            {{"dv", dv}}},
                           executor, scratch, [&](auto& loops) {
                             if (da.present()) loops.dots(x, y, T(1), T(0), da);
                             if (dv.present()) loops.scatter(weights, x, T(1), dv);
                           });
}

}  // namespace heed
