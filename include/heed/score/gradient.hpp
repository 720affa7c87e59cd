// SPDX-License-Identifier: BSL-1.0
// Derivatives of score modifiers, a panel at a time: through `grad(s, at)` where a modifier has it,
// else by calling it with dual numbers.
#pragma once

#include <heed/attention/gradient.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/dual.hpp>

namespace heed {

// A modifier that gives its derivative itself: with_grad{f, df}, df(s, at) = ds'/ds.
template <class F, class G> struct with_grad {
  F f;
  G df;
  template <class S, class At>
    requires std::is_invocable_v<const F&, S, At>
  auto operator()(const S& s, const At& at) const {
    return f(s, at);
  }
  template <class S, class At>
    requires std::is_invocable_v<const G&, S, At>
  auto grad(const S& s, const At& at) const {
    return df(s, at);
  }
};

// s' = s + something that does not depend on s: such a modifier has `static constexpr bool shifts`.
template <class S> consteval bool only_shifts() {
  if constexpr (is_chain<S>)
    return only_shifts<decltype(S::first)>() && only_shifts<decltype(S::second)>();
  else
    return std::is_same_v<S, none> || requires { requires S::shifts; };
}

// True if `score_backward` looks at the scores.
template <class S> consteval bool needs_scores() {
  if constexpr (is_chain<S>)
    return needs_scores<decltype(S::first)>() || needs_scores<decltype(S::second)>();
  else
    return learns<S> || !only_shifts<S>();
}

namespace detail {

template <class Arch, class S, class T>
void multiply_slopes(const S& f, const tile& in, const T* s, T* ds) {
  using B = simd::batch<T, Arch>;
  using At = lanes<B, T>;
  constexpr bool known = requires(const B& x, const At& at) { f.grad(x, at); };
  constexpr bool vector = requires(const dual<B>& x, const At& at) { f(x, at).slope; };
  if constexpr (known || vector) {
    each_vector<Arch, T>(in, [&](index i, const At& at) HEED_INLINE_LAMBDA {
      const B x = simd::load<T, Arch>(s + i);
      B by;
      if constexpr (known)
        by = f.grad(x, at);
      else
        by = f(dual<B>::variable(x), at).slope;
      const B d = simd::load<T, Arch>(ds + i), none_of_it(T(0));
      simd::store(ds + i, simd::select(d == none_of_it, d, B(d * by)));
    });
  } else {
    for (index j = 0; j < in.keys; ++j)
      for (index i = 0; i < in.rows; ++i) {
        const position at{in.b, in.h, in.q + i, in.key(j), in.row + i, in.slot + j};
        const T x = s[j * in.pitch + i];
        T& d = ds[j * in.pitch + i];
        if (d == T(0)) continue;
        if constexpr (requires { f.grad(x, at); }) {
          d *= T(f.grad(x, at));
        } else {
          static_assert(
              requires { f(dual<T>::variable(x), at).slope; },
              "this score modifier has no grad(s, at) and takes no dual numbers");
          d *= f(dual<T>::variable(x), at).slope;
        }
      }
  }
}

}  // namespace detail

// ds: on entry by f(s), on return by s; what is 0 stays 0, whatever the score: a masked one may be
// NaN. `spare` holds links<S>() panels besides what modifiers ask for with `scratch`.
template <class Arch, class S, class T>
void score_backward(const S& f, const gradient_of<S>& g, const tile& in, const T* s, T* ds,
                    double* sum, T* spare) {
  if constexpr (is_chain<S>) {
    T* const between = spare;
    T* rest = spare + in.keys * in.pitch;
    for (index j = 0; j < in.keys; ++j)
      std::copy_n(s + j * in.pitch, in.rows, between + j * in.pitch);
    if constexpr (!std::is_same_v<decltype(S::first), none>) {
      T* tables = rest;
      modify_panel<Arch>(f.first, in, between, tables);
    }
    score_backward<Arch>(f.second, g.second, in, between, ds, sum + sums_of(f.first, g.first),
                         rest);
    score_backward<Arch>(f.first, g.first, in, s, ds, sum, rest);
  } else {
    if constexpr (learns<S>) f.template add_gradient<Arch>(g, in, s, ds, sum);
    if constexpr (requires { f.template panel_backward<Arch>(in, s, ds, spare); })
      f.template panel_backward<Arch>(in, s, ds, spare);
    else if constexpr (!only_shifts<S>())
      detail::multiply_slopes<Arch>(f, in, s, ds);
  }
}

}  // namespace heed
