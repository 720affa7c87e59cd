// SPDX-License-Identifier: BSL-1.0
// Lanes in any order, known at run time: y[i] = x[from[i]].
#pragma once

#include <cstdint>
#include <heed/simd/simd.hpp>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace heed::simd {

// Where each lane comes from. Those beyond the width are not read.
struct lane_order {
  static constexpr index most = 64;
  std::int32_t from[most];
};

// The order in the form that `operator()` is fastest with: to be made once and used often.
template <class T, class Arch> class picker {
  using B = batch<T, Arch>;
  static constexpr index W = width<T, Arch>;
#if defined(__AVX512F__)
  static constexpr bool wide = sizeof(B) == 64;
#else
  static constexpr bool wide = false;
#endif
#if defined(__AVX2__)
  static constexpr bool half = sizeof(B) == 32;
#else
  static constexpr bool half = false;
#endif
  static constexpr bool by_words = wide || half;
  // A double is two words on AVX2, which moves no doubles by a vector of numbers.
  static constexpr index parts = half ? index(sizeof(T)) / 4 : 1;
  using number = std::conditional_t<wide && sizeof(T) == 8, std::int64_t, std::int32_t>;

 public:
  explicit picker(const lane_order& order) {
    for (index i = 0; i < W; ++i)
      for (index part = 0; part < parts; ++part)
        from_[i * parts + part] = static_cast<number>(order.from[i] * parts + part);
  }

  HEED_INLINE B operator()(const B& x) const {
    if constexpr (W == 1) {
      return x;
    } else if constexpr (!by_words) {
      T in[W], out[W];
      simd::store(in, x);
      for (index i = 0; i < W; ++i) out[i] = in[from_[i]];
      return simd::load<T, Arch>(out);
    } else {
#if defined(__AVX512F__)
      if constexpr (wide && sizeof(T) == 4)
        return _mm512_permutexvar_ps(_mm512_loadu_si512(from_), x);
      if constexpr (wide && sizeof(T) == 8)
        return _mm512_permutexvar_pd(_mm512_loadu_si512(from_), x);
#endif
#if defined(__AVX2__)
      if constexpr (half) {
        const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from_));
        if constexpr (sizeof(T) == 4)
          return _mm256_permutevar8x32_ps(x, from);
        else
          return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(x), from));
      }
#endif
    }
  }

 private:
  number from_[W * parts];
};

}  // namespace heed::simd
