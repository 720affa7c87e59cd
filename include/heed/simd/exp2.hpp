// SPDX-License-Identifier: BSL-1.0
// 2^x and what is built on it.
//
// float: x = n + f with |f| <= 1/2, 2^f by a polynomial of degree 6 (relative error 2.0e-9, Lawson
// fit with the constant fixed at 1), 2^n by its exponent bits; at most 1 ulp in all. Exactly 0 for
// x <= -126.5, so a masked score needs no select and no denormal is made. NaN stays NaN.
// double: xsimd's exp2 with the same rule at the bottom.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

inline constexpr double log2e = 1.44269504088896340736;
inline constexpr double ln2 = 0.69314718055994530942;

// Requires x <= 127.
template <class A>
HEED_INLINE xsimd::batch<float, A> exp2(xsimd::batch<float, A> x) {
  using B = xsimd::batch<float, A>;
  B f;
  const B scale = power_of_two::split<A>(xsimd::max(B(-127.0f), x), f);
  B p(0x1.41fbbcp-13f);
  p = xsimd::fma(p, f, B(0x1.5f3e54p-10f));
  p = xsimd::fma(p, f, B(0x1.3b2d4cp-7f));
  p = xsimd::fma(p, f, B(0x1.c6aee8p-5f));
  p = xsimd::fma(p, f, B(0x1.ebfbdcp-3f));
  p = xsimd::fma(p, f, B(0x1.62e430p-1f));
  p = xsimd::fma(p, f, B(1.0f));
  return p * scale;
}
template <class A>
HEED_INLINE xsimd::batch<double, A> exp2(xsimd::batch<double, A> x) {
  using B = xsimd::batch<double, A>;
  return xsimd::select(x < B(-1022.0), B(0.0), xsimd::exp2(xsimd::max(B(-1022.0), x)));
}
template <number T>
T exp2(T x) {
  constexpr T lowest = std::is_same_v<T, float> ? T(-126.5) : T(-1022);
  return x < lowest ? T(0) : std::exp2(x);
}

template <class V>
HEED_INLINE V exp(const V& x) {
  return simd::exp2(V(simd::min(constant<V>(127), V(x * constant<V>(log2e)))));
}

// 1 / (1 + e^-x), with the exponential of a non-positive number only.
template <class V>
HEED_INLINE V sigmoid(const V& x) {
  const V e = simd::exp(V(constant<V>(0) - simd::abs(x)));
  const V one = constant<V>(1), small = e / (one + e);
  return simd::select(x < constant<V>(0), small, V(one - small));
}

// tanh by e^-2|x|; odd polynomial below 0.25, where the difference would cancel.
template <class V>
HEED_INLINE V tanh(const V& x) {
  const V a = simd::abs(x), one = constant<V>(1);
  const V e = simd::exp(V(constant<V>(-2) * a));
  const V big = (one - e) / (one + e);
  const V t = x * x;
  V p = simd::fma(t, constant<V>(62.0 / 2835.0), constant<V>(-17.0 / 315.0));
  p = simd::fma(t, p, constant<V>(2.0 / 15.0));
  p = simd::fma(t, p, constant<V>(-1.0 / 3.0));
  const V near = simd::fma(V(t * p), a, a);
  const V y = simd::select(a < constant<V>(0.25), near, big);
  return simd::select(x < constant<V>(0), V(constant<V>(0) - y), y);
}

}  // namespace heed::simd
