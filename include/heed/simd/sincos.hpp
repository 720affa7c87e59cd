// SPDX-License-Identifier: BSL-1.0
// Sines and cosines of many angles.
//
// The angle is reduced in double: x = n·π/2 + r, |r| <= π/4 with π/2 in two parts; then Taylor sums
// in r² (float: 2e-10 absolute, so the result is the nearest float or its neighbour; double: 2e-16
// beside the rounding of the angle itself). For |x| < 2^30. The 1-lane arch calls the library.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <heed/simd/simd.hpp>

namespace heed::simd {

namespace detail {

// 1, -1/(First (First - 1)), …: the series in x² of cos (First 2) and of sin / x (First 3).
template <int First, std::size_t Terms>
inline constexpr std::array<double, Terms> series = [] {
  std::array<double, Terms> factor{1};
  for (std::size_t k = 1; k < Terms; ++k) {
    const double n = First + 2.0 * static_cast<double>(k) - 2;
    factor[k] = -factor[k - 1] / (n * (n - 1));
  }
  return factor;
}();

template <int First, std::size_t Terms, class B> HEED_INLINE B alternating(const B& square) {
  B sum(series<First, Terms>[Terms - 1]);
  HEED_UNROLL for (std::size_t k = Terms - 1; k > 0; --k) sum =
      simd::fma(sum, square, B(series<First, Terms>[k - 1]));
  return sum;
}

template <class T, class A>
HEED_INLINE void sincos(const xsimd::batch<double, A>& x, xsimd::batch<double, A>& sine,
                        xsimd::batch<double, A>& cosine) {
  using B = xsimd::batch<double, A>;
  constexpr std::size_t terms = std::is_same_v<T, float> ? 6 : 9;
  const B n = xsimd::nearbyint(x * B(0.63661977236758134308));
  // π/2 in parts of 22 bits, so that n times each is exact with or without a fused multiply-add.
  B r = simd::fma(n, B(-0x1.921fb0p+0), x);
  r = simd::fma(n, B(-0x1.5110b0p-22), r);
  r = simd::fma(n, B(-0x1.18469898cc517p-44), r);
  const B square = r * r;
  const B s = r * alternating<3, terms>(square), c = alternating<2, terms>(square);
  // The two low bits of n choose the quadrant.
  const B half = xsimd::floor(n * B(0.5)), odd = n - B(2.0) * half;
  const B upper = half - B(2.0) * xsimd::floor(half * B(0.5));
  const B sign = B(1.0) - B(2.0) * upper;
  const auto swap = odd > B(0.5);
  sine = xsimd::select(swap, c, s) * sign;
  cosine = xsimd::select(swap, B(B(0.0) - s), c) * sign;
}

template <class T> HEED_INLINE void sincos(double x, double& sine, double& cosine) {
  sine = std::sin(x), cosine = std::cos(x);
}

// Nearest floats of an array of doubles.
template <class T, class Arch> HEED_INLINE void narrow(const double* in, index count, T* out) {
  index i = 0;
#if defined(__has_builtin)
#if __has_builtin(__builtin_convertvector)
  constexpr index W = width<double, Arch> < 4 ? 4 : width<double, Arch>;
  typedef double from __attribute__((vector_size(8 * W), aligned(8), may_alias));
  typedef T to __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
  for (; i + W <= count; i += W)
    *reinterpret_cast<to*>(out + i) =
        __builtin_convertvector(*reinterpret_cast<const from*>(in + i), to);
#endif
#endif
  for (; i < count; ++i) out[i] = static_cast<T>(in[i]);
}

}  // namespace detail

// Angles of one call of `sincos`.
inline constexpr index most_angles = 32;

// sine[c], cosine[c] = magnitude · sin, cos of position · theta[c], for c < count <= most_angles.
template <class T, class Arch>
HEED_NOINLINE void sincos(double position, const double* theta, index count, double magnitude,
                          T* sine, T* cosine) {
  if constexpr (std::is_same_v<Arch, scalar>) {
    for (index c = 0; c < count; ++c) {
      sine[c] = static_cast<T>(magnitude * std::sin(position * theta[c]));
      cosine[c] = static_cast<T>(magnitude * std::cos(position * theta[c]));
    }
  } else {
    using B = batch<double, Arch>;
    constexpr index W = width<double, Arch>;
    double s[most_angles], c[most_angles];
    const auto step = [&](index i, const double* angles) {
      B x, y;
      detail::sincos<T>(B(B(position) * load<double, Arch>(angles)), x, y);
      simd::store(s + i, B(x * B(magnitude)));
      simd::store(c + i, B(y * B(magnitude)));
    };
    index i = 0;
    for (; i + W <= count; i += W) step(i, theta + i);
    if (i < count) {
      double rest[static_cast<std::size_t>(width<double, Arch>)] = {};
      std::copy(theta + i, theta + count, rest);
      step(i, rest);
    }
    detail::narrow<T, Arch>(s, count, sine);
    detail::narrow<T, Arch>(c, count, cosine);
  }
}

// Positions of one call of `sincos_rows`: few enough that the steps add nothing to a float's error.
inline constexpr index most_positions = 16;

// The same for positions first, first + 1, … of which [skip, rows) are wanted: row i lies at
// (i - skip) · most_angles. Only the first is computed, the others follow by turning in double:
// a relative error of 2^-52 a step.
template <class Arch>
HEED_NOINLINE void sincos_rows(double first, index skip, index rows, const double* theta,
                               index count, double magnitude, float* sine, float* cosine) {
  using B = batch<double, Arch>;
  constexpr index W = width<double, Arch>;
  double s[most_positions * most_angles], c[most_positions * most_angles];
  double angles[most_angles + W] = {};
  std::copy(theta, theta + count, angles);
  for (index i = 0; i < count; i += W) {
    const B step = load<double, Arch>(angles + i);
    B x, y, dx, dy;
    detail::sincos<double>(B(B(first) * step), x, y);
    detail::sincos<double>(step, dx, dy);
    x = x * B(magnitude), y = y * B(magnitude);
    for (index row = 0; row < rows; ++row) {
      simd::store(s + row * most_angles + i, x);
      simd::store(c + row * most_angles + i, y);
      const B turned = simd::fma(x, dy, B(y * dx));
      y = simd::fma(y, dy, B(B(0.0) - B(x * dx)));
      x = turned;
    }
  }
  for (index row = skip; row < rows; ++row) {
    detail::narrow<float, Arch>(s + row * most_angles, count, sine + (row - skip) * most_angles);
    detail::narrow<float, Arch>(c + row * most_angles, count, cosine + (row - skip) * most_angles);
  }
}

}  // namespace heed::simd
