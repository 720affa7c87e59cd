// SPDX-License-Identifier: BSL-1.0
// Score modifiers on pairs that lie along a diagonal: every lane has a query and a key of its own.
//
// A modifier in the generic form is called with batches of positions, `at.q` and `at.k`; `row` and
// `slot` are those of the first lane. One that reads tables by row or slot is called pair by pair.
#pragma once

#include <heed/score/row.hpp>

namespace heed {

// W lanes of which `lanes` count; tap t of lane l is query q[l] + t · q_step and key
// k[l] + t · k_step.
struct pair_taps {
  index b, h;
  const index *q, *k;
  index q_step, k_step, lanes, taps;
};

namespace detail {

template <class Arch, class T, class F> HEED_INLINE void each_tap(const pair_taps& in, const F& f) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  T q[W], k[W];
  for (index l = 0; l < W; ++l) q[l] = static_cast<T>(in.q[l]), k[l] = static_cast<T>(in.k[l]);
  key_lanes<B> at{.b = in.b,
                  .h = in.h,
                  .q = simd::load<T, Arch>(q),
                  .k = simd::load<T, Arch>(k),
                  .row = in.q[0],
                  .slot = in.k[0]};
  const B q_step(static_cast<T>(in.q_step)), k_step(static_cast<T>(in.k_step));
  for (index t = 0; t < in.taps; ++t) {
    f(t * W, at);
    at.q = at.q + q_step, at.k = at.k + k_step, at.row += in.q_step, at.slot += in.k_step;
  }
}
template <class T, class F> void each_pair(const pair_taps& in, index width, const F& f) {
  for (index t = 0; t < in.taps; ++t)
    for (index l = 0; l < in.lanes; ++l) {
      const index q = in.q[l] + t * in.q_step, k = in.k[l] + t * in.k_step;
      f(t * width + l, position{in.b, in.h, q, k, q, k});
    }
}

}  // namespace detail

// S[t][lane] <- f(S).
template <class Arch, class S, class T> void modify_pairs(const S& f, const pair_taps& in, T* s) {
  using B = simd::batch<T, Arch>;
  if constexpr (detail::takes_key_lanes<S, Arch, T>())
    detail::each_tap<Arch, T>(in, [&](index i, const auto& at) HEED_INLINE_LAMBDA {
      simd::store(s + i, B(applied(f, simd::load<T, Arch>(s + i), at)));
    });
  else
    detail::each_pair<T>(in, simd::width<T, Arch>,
                         [&](index i, const position& at) { s[i] = modified(f, s[i], at); });
}

}  // namespace heed
