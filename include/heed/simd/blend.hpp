// SPDX-License-Identifier: BSL-1.0
// Two loops over contiguous rows that recurrences run backwards with.
#pragma once

#include <heed/simd/lanes.hpp>

namespace heed::simd {

// Σ_i x[i] y[i]
template <class Arch, class T> T dot(const T* x, const T* y, index count) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B sum(T(0));
  index i = 0;
  for (; i + W <= count; i += W)
    sum = simd::fma(simd::load<T, Arch>(x + i), simd::load<T, Arch>(y + i), sum);
  T total = simd::sum_lanes<T, Arch>(sum);
  for (; i < count; ++i) total += x[i] * y[i];
  return total;
}

// y[i] = a · y[i] + b · x[i]
template <class Arch, class T> void blend(T a, T b, const T* x, index count, T* y) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  index i = 0;
  for (; i + W <= count; i += W)
    simd::store(y + i, simd::fma(B(b), simd::load<T, Arch>(x + i),
                                 B(B(a) * simd::load<T, Arch>(y + i))));
  for (; i < count; ++i) y[i] = a * y[i] + b * x[i];
}

}  // namespace heed::simd
