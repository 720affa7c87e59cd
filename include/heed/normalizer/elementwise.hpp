// SPDX-License-Identifier: BSL-1.0
// Normalisers whose weights look at one score alone: p_ij = f(s_ij) / d_i. Such a type has
//   divisor by;                                       // d; a static member will do
//   template <class B> B weight(const B& s) const;    // f
//   template <class B> B slope(const B& s) const;     // f', for `dscore` only
// and gets the rest of normalizer/concept.hpp from here.
#pragma once

#include <cstring>
#include <heed/normalizer/concept.hpp>
#include <heed/simd/dual.hpp>
#include <heed/simd/lanes.hpp>

namespace heed {

// d_i. Rows where it is zero give zeros.
enum class divisor {
  one,
  count,       // allowed keys
  sum,         // Σ_j f(s_ij)
  bounded_sum  // max(|Σ_j f(s_ij)|, 1)
};

namespace elementwise {

template <class T> row_state<T> start() { return {T(0), T(0)}; }

// f: batch -> batch. A masked score, and one of −inf, gets weight 0 by select; NaN stays NaN. `max`
// counts the allowed keys where the divisor asks for it.
template <class Arch, class T, class F>
bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state, divisor by,
            const F& f) {
  using B = simd::batch<T, Arch>;
  const B lowest(masked<T> / 2), zero(T(0)), one(T(1));
  if (by == divisor::count)
    for (index j = 0; j < keys; ++j)
      state.max = state.max + simd::select(simd::load<T, Arch>(s + j * pitch) <= lowest, zero, one);
  for (index j = 0; j < keys; ++j) {
    const B x = simd::load<T, Arch>(s + j * pitch);
    const B p = simd::select(x <= lowest, zero, B(f(x)));
    simd::store(s + j * pitch, p);
    state.sum = state.sum + p;
  }
  return false;
}

// 1 / d
template <class B> B finish(const row_state<B>& state, divisor by) {
  using simd::constant;
  const B zero = constant<B>(0), one = constant<B>(1);
  if (by == divisor::count) return simd::select(state.max == zero, zero, B(one / state.max));
  if (by == divisor::sum) return simd::select(state.sum == zero, zero, B(one / state.sum));
  if (by == divisor::bounded_sum) return one / simd::max(one, B(simd::abs(state.sum)));
  return one;
}

// ds from f'(s), dp and delta = Σ_j p_ij dp_ij.
template <class B>
B dscore(const B& slope, const B& dp, const B& delta, const row_state<B>& state, divisor by) {
  using simd::constant;
  const B zero = constant<B>(0), one = constant<B>(1);
  B shift = zero;
  if (by == divisor::sum) shift = delta;
  if (by == divisor::bounded_sum)
    shift = simd::select(state.sum > one, delta,
                         simd::select(state.sum < zero - one, B(zero - delta), zero));
  return elementwise::finish(state, by) * slope * (dp - shift);
}

// The members of normalizer/concept.hpp for an N of `weight`, `slope` and `by`. N's own `absorb`
// goes first.
template <class N> struct steps {
  explicit steps(const N& n) : of(n) {}

  template <class T> row_state<T> start(const row_position&) const {
    return elementwise::start<T>();
  }
  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>& factor) const {
    if constexpr (requires { of.template absorb<Arch>(s, pitch, keys, state, factor); })
      return of.template absorb<Arch>(s, pitch, keys, state, factor);
    else
      return elementwise::absorb<Arch>(s, pitch, keys, state, of.by,
                                       [this](auto x) { return of.weight(x); });
  }
  // One row, its keys side by side.
  template <class Arch, class T>
  bool absorb_row(T* s, index keys, row_state<T>& state, T&, double) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    row_state<B> each{B(T(0)), B(T(0))};
    B factor(T(1));
    absorb<Arch>(s, W, keys / W, each, factor);
    state.max += simd::sum_lanes<T, Arch>(each.max);
    state.sum += simd::sum_lanes<T, Arch>(each.sum);
    return false;
  }
  template <class B> B finish(const row_state<B>& state) const {
    return elementwise::finish(state, of.by);
  }
  template <class B>
  B dscore(const B& s, const B&, const B& dp, const B& delta, const row_state<B>& state) const {
    return elementwise::dscore(slope(s), dp, delta, state, of.by);
  }

 private:
  const N& of;

  // f', from dual numbers where it is not given.
  template <class B> B slope(const B& s) const {
    if constexpr (requires { B(of.slope(s)); }) {
      return of.slope(s);
    } else if constexpr (requires { of.weight(dual<B>::variable(s)).slope; }) {
      return of.weight(dual<B>::variable(s)).slope;
    } else {
      using T = simd::value<B>;
      constexpr index W = static_cast<index>(sizeof(B) / sizeof(T));
      T each[W];
      simd::store(each, s);
      for (T& x : each)
        if constexpr (requires { of.slope(x); }) {
          x = static_cast<T>(of.slope(x));
        } else {
          static_assert(
              requires { of.weight(dual<T>::variable(x)).slope; },
              "this weight has no slope and takes no dual numbers");
          x = of.weight(dual<T>::variable(x)).slope;
        }
      B slopes;
      std::memcpy(&slopes, each, sizeof(B));
      return slopes;
    }
  }
};

}  // namespace elementwise

// The members of normalizer/concept.hpp: the normaliser's own, or those made of its weight.
template <class N> decltype(auto) steps_of(const N& normalizer) {
  if constexpr (requires { normalizer.template start<float>(row_position{}); })
    return (normalizer);
  else
    return elementwise::steps<N>(normalizer);
}
template <class N> void steps_of(const N&&) = delete;  // refers to its argument

}  // namespace heed
