// SPDX-License-Identifier: BSL-1.0
// 2^x and what is built on it.
//
// float: x = n + f with |f| <= 1/2, 2^f by a polynomial of degree 6 (relative error 2.0e-9, Lawson
// fit with the constant fixed at 1), 2^n by its exponent bits. Exactly 0 for x < -126.5, so a
// masked score needs no select; denormal only between -126.5 and -126. NaN stays NaN. double:
// xsimd's functions with the same rule at the bottom.
//
// Largest errors in float, held by tests/simd/exp2.cpp: exp2 1.0 ulp, exp 1.2, sigmoid 2.5,
// tanh 1.5; without a fused multiply-add half an ulp more. On NEON xsimd divides by a reciprocal
// that it refines twice: sigmoid and tanh may be off by one ulp more.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

inline constexpr double log2e = 1.44269504088896340736;
inline constexpr double ln2 = 0.69314718055994530942;

namespace detail {

// 2^f for |f| <= 1/2.
template <class A>
HEED_INLINE xsimd::batch<float, A> exp2_fraction(const xsimd::batch<float, A>& f) {
  using B = xsimd::batch<float, A>;
  B p(0x1.41fbbcp-13f);
  p = simd::fma(p, f, B(0x1.5f3e54p-10f));
  p = simd::fma(p, f, B(0x1.3b2d4cp-7f));
  p = simd::fma(p, f, B(0x1.c6aee8p-5f));
  p = simd::fma(p, f, B(0x1.ebfbdcp-3f));
  p = simd::fma(p, f, B(0x1.62e430p-1f));
  return simd::fma(p, f, B(1.0f));
}

}  // namespace detail

// Requires x <= 127.
template <class A> HEED_INLINE xsimd::batch<float, A> exp2(xsimd::batch<float, A> x) {
  using B = xsimd::batch<float, A>;
  B f;
  const B scale = power_of_two::split<A>(simd::max(B(-127.0f), x), f);
  return detail::exp2_fraction(f) * scale;
}
template <class A> HEED_INLINE xsimd::batch<double, A> exp2(xsimd::batch<double, A> x) {
  using B = xsimd::batch<double, A>;
  return xsimd::select(x < B(-1022.0), B(0.0), xsimd::exp2(simd::max(B(-1022.0), x)));
}
template <number T> T exp2(T x) {
  constexpr T lowest = std::is_same_v<T, float> ? T(-126.5) : T(-1022);
  return x < lowest ? T(0) : std::exp2(x);
}

// e^x, with x capped at 88.02 (float) or 709 (double); exactly 0 below -87.7 or -708. float: the
// constant of the reduction comes in two parts, so that the error does not grow with |x|.
template <class A> HEED_INLINE xsimd::batch<float, A> exp(xsimd::batch<float, A> x) {
  using B = xsimd::batch<float, A>;
  const B unit(0x1.715476p+0f);
  x = simd::max(B(-88.02f), simd::min(B(88.02f), x));
  B rest, f;
  const B scaled = x * unit;
  const B scale = power_of_two::split<A>(scaled, rest);
  if constexpr (fused) {
    f = simd::fma(x, B(0x1.4ae0cp-26f), B(simd::fma(x, unit, B(rest - scaled))));
  } else {
    // n ln 2 with a first part short enough for the product to be exact.
    const B n = xsimd::nearbyint(scaled);
    f = unit * ((x - n * B(0x1.63p-1f)) + n * B(0x1.bd0106p-13f));
  }
  return detail::exp2_fraction(f) * scale;
}
template <class A> HEED_INLINE xsimd::batch<double, A> exp(xsimd::batch<double, A> x) {
  using B = xsimd::batch<double, A>;
  return xsimd::select(x < B(-708.0), B(0.0),
                       xsimd::exp(simd::max(B(-708.0), simd::min(B(709.0), x))));
}
template <number T> T exp(T x) {
  constexpr bool single = std::is_same_v<T, float>;
  if (x < (single ? T(-87.68) : T(-708))) return T(0);
  constexpr T most = single ? T(88.02) : T(709);
  return std::exp(x > most ? most : x);
}

// 1 / (1 + e^-x), with the exponential of a non-positive number only.
template <class V> HEED_INLINE V sigmoid(const V& x) {
  const V e = simd::exp(V(constant<V>(0) - simd::abs(x)));
  const V one = constant<V>(1);
  return simd::select(x < constant<V>(0), e, one) / (one + e);
}

// float: 1 - 2e / (1 + e) with e = e^-2|x|; an odd polynomial below 0.625, where that would cancel.
template <class A> HEED_INLINE xsimd::batch<float, A> tanh(const xsimd::batch<float, A>& x) {
  using B = xsimd::batch<float, A>;
  const B a = xsimd::abs(x), one(1.0f), t = x * x;
  const B e = simd::exp(B(a * B(-2.0f)));
  const B far = one - (e + e) / (one + e);
  B p(-5.70498872745e-3f);
  p = simd::fma(p, t, B(2.06390887954e-2f));
  p = simd::fma(p, t, B(-5.37397155531e-2f));
  p = simd::fma(p, t, B(1.33314422036e-1f));
  p = simd::fma(p, t, B(-3.33332819422e-1f));
  const B near = simd::fma(B(t * p), x, x);
  return xsimd::select(a < B(0.625f), near, xsimd::copysign(far, x));
}
template <class A> HEED_INLINE xsimd::batch<double, A> tanh(const xsimd::batch<double, A>& x) {
  return xsimd::tanh(x);
}
template <number T> T tanh(T x) { return std::tanh(x); }

}  // namespace heed::simd
