// SPDX-License-Identifier: BSL-1.0
// A number of a table for each lane: tables of [entry][lane], where every lane has a column of its
// own.
#pragma once

#include <heed/simd/simd.hpp>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace heed::simd {

// p[entry · pitch + lane], lane by lane; entries are whole numbers, not negative, and places below
// 2^24.
template <class T, class Arch>
HEED_INLINE batch<T, Arch> gather_columns(const T* p, const batch<T, Arch>& entry, index pitch) {
#if defined(__AVX512F__)
  if constexpr (sizeof(entry) == 64 && std::is_same_v<T, float>) {
    const __m512 at = _mm512_fmadd_ps(entry, _mm512_set1_ps(float(pitch)), iota<T, Arch>());
    return _mm512_i32gather_ps(_mm512_cvttps_epi32(at), p, 4);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(entry) == 32 && std::is_same_v<T, float>) {
    const __m256 at = entry * batch<T, Arch>(float(pitch)) + iota<T, Arch>();
    return _mm256_i32gather_ps(p, _mm256_cvttps_epi32(at), 4);
  }
#endif
  constexpr index W = width<T, Arch>;
  T each[W];
  simd::store(each, entry);
  for (index i = 0; i < W; ++i) each[i] = p[static_cast<index>(each[i]) * pitch + i];
  return load<T, Arch>(each);
}

// p[entry · pitch + lane] += x, lane by lane.
template <class T, class Arch>
HEED_INLINE void add_to_columns(T* p, const batch<T, Arch>& entry, index pitch,
                                const batch<T, Arch>& x) {
  constexpr index W = width<T, Arch>;
  T each[W], more[W];
  simd::store(each, entry), simd::store(more, x);
  for (index i = 0; i < W; ++i) p[static_cast<index>(each[i]) * pitch + i] += more[i];
}

}  // namespace heed::simd
