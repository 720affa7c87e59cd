// SPDX-License-Identifier: BSL-1.0
// Numbers to 16-bit codes that share a unit: the largest becomes the largest code.
#pragma once

#include <algorithm>
#include <heed/simd/integers.hpp>
#include <limits>

namespace heed::simd {

// The largest code of numbers of which `terms` are multiplied with int8 codes and summed.
constexpr int integer_levels(index terms) {
  return static_cast<int>(std::min<index>(32767, 0x7fffffff / (128 * std::max<index>(terms, 1))));
}

// x[i] = unit · codes[i] for i < n, |codes[i]| <= levels; returns the unit. It is NaN, and the
// codes 0, where a number is not finite; numbers all below 2^-110 count as 0.
template <class Arch>
HEED_NOINLINE float quantize_row(const float* x, index n, int levels, std::int16_t* codes) {
  using V = integers<Arch>;
  using A = typename V::arch;
  using B = batch<float, A>;
  constexpr index W = width<float, A>;
  B most(0.0f), wrong(0.0f);
  const auto each = [&](const auto& f) HEED_INLINE_LAMBDA {
    index i = 0;
    for (; i + W <= n; i += W) f(i, simd::load<float, A>(x + i), W);
    if (i < n) f(i, load_first<float, A>(x + i, n - i), n - i);
  };
  each([&](index, const B& b, index) HEED_INLINE_LAMBDA {
    most = simd::max(most, simd::abs(b));
    wrong = simd::fma(b, B(0.0f), wrong);
  });
  const float largest = max_lanes<float, A>(most);
  const bool finite = sum_lanes<float, A>(wrong) == 0;
  if (!finite || largest < 0x1p-110f) {
    std::fill_n(codes, n, std::int16_t{0});
    return finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const B factor(static_cast<float>(levels) / largest);
  each([&](index i, const B& b, index count) HEED_INLINE_LAMBDA {
    if (count == W) return V::round(B(b * factor), codes + i);
    std::int16_t some[W];
    V::round(B(b * factor), some);
    std::copy_n(some, count, codes + i);
  });
  return largest / static_cast<float>(levels);
}

// out[i] = a[i] * b[i] * factor; with Hide, 0 where a[i] is 0.
template <class A, bool Hide>
HEED_INLINE void scale_row(const float* a, const float* b, float factor, index count, float* out) {
  using B = batch<float, A>;
  const B zero(0.0f), f(factor);
  const auto one = [&](const B& x, const B& y) HEED_INLINE_LAMBDA {
    const B z = x * (y * f);
    return Hide ? simd::select(x == zero, zero, z) : z;
  };
  index i = 0;
  for (; i + width<float, A> <= count; i += width<float, A>)
    simd::store(out + i, one(simd::load<float, A>(a + i), simd::load<float, A>(b + i)));
  if (const index rest = count - i; rest > 0)
    store_first<float, A>(
        out + i, one(load_first<float, A>(a + i, rest), load_first<float, A>(b + i, rest)), rest);
}

}  // namespace heed::simd
