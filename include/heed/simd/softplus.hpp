// SPDX-License-Identifier: BSL-1.0
// ln(1 + e^x) and x · σ(x).
#pragma once

#include <heed/simd/exp2.hpp>

namespace heed::simd {

// max(x, 0) + ln(1 + e), e = e^-|x|, and ln(1 + e) = 2 artanh(s) with s = e / (2 + e) <= 1/3: a
// series in s² <= 1/9 whose rest is below a tenth of an ulp. Small results keep their digits.
template <class V> HEED_INLINE V softplus(const V& x) {
  constexpr int terms = std::is_same_v<value<V>, float> ? 8 : 17;
  const V e = simd::exp(V(constant<V>(0) - simd::abs(x)));
  const V s = e / V(constant<V>(2) + e), t = s * s;
  V p = constant<V>(1.0 / (2 * terms - 1));
  HEED_UNROLL for (int k = terms - 1; k > 0; --k) p =
      simd::fma(p, t, constant<V>(1.0 / (2 * k - 1)));
  return simd::fma(V(s + s), p, simd::max(constant<V>(0), x));
}

template <class V> HEED_INLINE V silu(const V& x) { return x * simd::sigmoid(x); }

// SiLU' = σ(x) (1 + x σ(-x)); 1 - σ(x) would lose the digits of σ(-x).
template <class V> HEED_INLINE V silu_slope(const V& x) {
  const V one = constant<V>(1), e = simd::exp(V(constant<V>(0) - simd::abs(x)));
  const V near = one / V(one + e), far = e * near;
  const auto below = x < constant<V>(0);
  return simd::select(below, far, near) * simd::fma(x, simd::select(below, near, far), one);
}

}  // namespace heed::simd
