// SPDX-License-Identifier: BSL-1.0
// Score modifiers on pairs that lie along a diagonal: every lane has a query and a key of its own.
//
// A modifier in the generic form is called with batches of positions, `at.q` and `at.k`; `row` and
// `slot` are those of the first lane. One that reads tables by row or slot is called pair by pair.
#pragma once

#include <algorithm>
#include <heed/core/storage.hpp>
#include <heed/score/gradient.hpp>
#include <heed/score/listed_places.hpp>
#include <heed/score/row.hpp>

namespace heed {

// W lanes of which `lanes` count; tap t of lane l is query q[l] + t · q_step and key
// k[l] + t · k_step.
struct pair_taps {
  index b, h;
  const index *q, *k;
  index q_step, k_step, lanes, taps;
  // On a grid of `axes` axes, slowest first: its sizes and dilations, and how many places the key
  // is beyond the query in lane 0 of tap 0; lanes are `on[l]` places further.
  index axes = 0;
  const index *size = nullptr, *dilation = nullptr, *apart = nullptr;
  const index* on = nullptr;
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

template <class S>
concept bias_on_grid = bias_by_place<S> && requires(const S& f, std::size_t n) {
  { f.size[n] + f.window[n] + f.dilation[n] } -> std::convertible_to<index>;
};
// A table by place on the grid of the pairs: entries lie side by side along the taps. False, and
// nothing done, where the bias is of another grid.
template <class Arch, class S, class T> bool add_by_place(const S& f, const pair_taps& in, T* s) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  if (in.axes != static_cast<index>(f.size.size()) ||
      !std::equal(f.size.begin(), f.size.end(), in.size) ||
      !std::equal(f.dilation.begin(), f.dilation.end(), in.dilation))
    return false;
  index entry = 0;
  for (index n = 0; n < in.axes; ++n) {
    const index w = f.window[static_cast<std::size_t>(n)];
    entry = entry * (2 * w - 1) + in.apart[n] + w - 1;
  }
  const index along = in.q_step == 0 ? 1 : -1, last = f.entries() - 1;
  bool one = true;
  for (index l = 0; l < in.lanes; ++l) one &= in.on[l] == 0;
  const auto add = [&](const auto& value) {
    for (index t = 0; t < in.taps; ++t, entry += along, s += W) {
      if (one)
        simd::store(s, B(simd::load<T, Arch>(s) + B(value(std::clamp<index>(entry, 0, last)))));
      else
        for (index l = 0; l < in.lanes; ++l)
          s[l] += value(std::clamp<index>(entry + in.on[l], 0, last));
    }
  };
  if (f.table.type == element_of<T>::value && f.table.stride[2] == 1)
    add([table = static_cast<const T*>(broadcast::element_address(f.table, 0, in.h, 0, 0))](
            index e) { return table[e]; });
  else
    add([&](index e) { return broadcast::element<T>(f.table, 0, in.h, e, 0); });
  return true;
}

}  // namespace detail

// S[t][lane] <- f(S).
template <class Arch, class S, class T> void modify_pairs(const S& f, const pair_taps& in, T* s) {
  using B = simd::batch<T, Arch>;
  if constexpr (detail::bias_on_grid<S>)
    if (detail::add_by_place<Arch>(f, in, s)) return;
  if constexpr (std::is_same_v<S, none>) {
    return;
  } else if constexpr (is_chain<S> && !detail::takes_key_lanes<S, Arch, T>()) {
    modify_pairs<Arch>(f.first, in, s);
    modify_pairs<Arch>(f.second, in, s);
  } else if constexpr (detail::takes_key_lanes<S, Arch, T>())
    detail::each_tap<Arch, T>(in, [&](index i, const auto& at) HEED_INLINE_LAMBDA {
      simd::store(s + i, B(applied(f, simd::load<T, Arch>(s + i), at)));
    });
  else
    detail::each_pair<T>(in, simd::width<T, Arch>,
                         [&](index i, const position& at) { s[i] = modified(f, s[i], at); });
}

namespace detail {

// ds'/ds of a modifier or a chain; `X` is a number or a batch.
template <class S, class X, class At> consteval bool has_pair_slope() {
  if constexpr (is_chain<S>)
    return has_pair_slope<decltype(S::first), X, At>() &&
           has_pair_slope<decltype(S::second), X, At>();
  else
    return only_shifts<S>() || requires(const S& f, const X& x, const At& at) { f.grad(x, at); } ||
           requires(const S& f, const dual<X>& x, const At& at) { f(x, at).slope; };
}
template <class S, class X, class At> X pair_slope(const S& f, const X& x, const At& at) {
  if constexpr (only_shifts<S>()) {
    return simd::constant<X>(1);
  } else if constexpr (is_chain<S>) {
    X between;
    if constexpr (std::is_same_v<At, position>)
      between = modified(f.first, x, at);
    else
      between = applied(f.first, x, at);
    return pair_slope(f.first, x, at) * pair_slope(f.second, between, at);
  } else if constexpr (requires { f.grad(x, at); }) {
    return X(f.grad(x, at));
  } else {
    static_assert(
        requires { f(dual<X>::variable(x), at).slope; },
        "this score modifier has no grad(s, at) and takes no dual numbers");
    return f(dual<X>::variable(x), at).slope;
  }
}

}  // namespace detail

// dS[t][lane]: on entry by f(s), on return by s; what is 0 stays 0.
template <class Arch, class S, class T>
void slope_pairs(const S& f, const pair_taps& in, const T* s, T* ds) {
  using B = simd::batch<T, Arch>;
  if constexpr (only_shifts<S>()) {
    return;
  } else if constexpr (detail::takes_key_lanes<S, Arch, T>() &&
                       detail::has_pair_slope<S, B, key_lanes<B>>()) {
    detail::each_tap<Arch, T>(in, [&](index i, const auto& at) HEED_INLINE_LAMBDA {
      const B d = simd::load<T, Arch>(ds + i), zero(T(0));
      const B by = detail::pair_slope(f, simd::load<T, Arch>(s + i), at);
      simd::store(ds + i, B(simd::select(d == zero, zero, B(d * by))));
    });
  } else {
    detail::each_pair<T>(in, simd::width<T, Arch>, [&](index i, const position& at) {
      if (ds[i] != T(0)) ds[i] *= T(detail::pair_slope(f, s[i], at));
    });
  }
}

}  // namespace heed
