// SPDX-License-Identifier: BSL-1.0
// The natural logarithm, at most 2 ulp off; −inf of 0, NaN below.
#pragma once

#include <heed/simd/simd.hpp>
#include <limits>

namespace heed::simd {

template <number T> T log(T x) { return std::log(x); }

namespace detail {

// x = m 2^e, m in [√½, √2), and a polynomial of m - 1 of degree 9.
template <class A> HEED_NOINLINE xsimd::batch<float, A> log_float(xsimd::batch<float, A> x) {
  using B = xsimd::batch<float, A>;
  using ints = xsimd::batch<std::int32_t, A>;
  using to_ints = std::conditional_t<(XSIMD_VERSION_MAJOR < 11), ints, std::int32_t>;
  using to_float = std::conditional_t<(XSIMD_VERSION_MAJOR < 11), B, float>;
  const B zero(0.0f), one(1.0f), given = x;
  const auto tiny = x < B(1.17549435e-38f);
  x = xsimd::select(tiny, B(x * B(33554432.0f)), x);  // 2^25: subnormal numbers too
  const ints bits = xsimd::bitwise_cast<to_ints>(x);
  B e = xsimd::to_float(ints((bits >> 23) - ints(127)));
  e = e - xsimd::select(tiny, B(25.0f), zero);
  B m = xsimd::bitwise_cast<to_float>(ints((bits & ints(0x007fffff)) | ints(0x3f800000)));
  const auto large = m > B(1.41421356f);
  m = xsimd::select(large, B(m * B(0.5f)), m);
  e = e + xsimd::select(large, one, zero);
  const B f = m - one, z = f * f;
  B p(7.0376836292e-2f);
  for (const float c : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                        -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
    p = simd::fma(p, f, B(c));
  // ln 2 in two parts, of which the first times e is exact.
  B y = simd::fma(e, B(-2.12194440e-4f), B(p * f * z));
  y = simd::fma(e, B(0.693359375f), B(f + simd::fma(z, B(-0.5f), y)));
  const B infinity(std::numeric_limits<float>::infinity());
  y = xsimd::select(given == zero, B(-infinity), y);
  y = xsimd::select(given == infinity, given, y);
  return xsimd::select(given >= zero, y, B(std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace detail

// xsimd 8.1's does not compile for AVX-512 with g++: there our own, and doubles lane by lane.
template <class T, class A> xsimd::batch<T, A> log(const xsimd::batch<T, A>& x) {
  using B = xsimd::batch<T, A>;
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, float>) {
    return detail::log_float(x);
  } else if constexpr (sizeof(x) == 64) {
    T each[64 / sizeof(T)];
    simd::store(each, x);
    for (T& y : each) y = std::log(y);
    return B::load_unaligned(each);
  } else {
    // Its own are wrong for subnormal numbers.
    const auto tiny = x < B(std::numeric_limits<T>::min());
    const B y = xsimd::log(B(xsimd::select(tiny, B(x * B(T(1ll << 54))), x)));
    return y - xsimd::select(tiny, B(T(54 * 0.69314718055994530942)), B(T(0)));
  }
}

}  // namespace heed::simd
