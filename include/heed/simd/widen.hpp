// SPDX-License-Identifier: BSL-1.0
// Vector loads of elements as they are stored: the compute type, binary16, bfloat16 or int8.
//
// Elements are aligned to their own size, vectors need not be.
#pragma once

#include <heed/simd/convert.hpp>
#include <heed/simd/lanes.hpp>
#if defined(__AVX2__) || defined(__F16C__)
#include <immintrin.h>
#endif

namespace heed::simd {

// The bits of a 16-bit number, so that types tell the two formats apart.
struct half {
  std::uint16_t bits;
};
struct bfloat {
  std::uint16_t bits;
};

template <number T> T widened(T x) { return x; }
inline float widened(half x) { return from_half(x.bits); }
inline int widened(std::int8_t x) { return x; }
inline float widened(bfloat x) { return from_bfloat(x.bits); }

template <class T, class Arch> HEED_INLINE batch<T, Arch> widen(const T* p) {
  return simd::load<T, Arch>(p);
}

namespace detail {

template <class T, class Arch, class S> HEED_INLINE batch<T, Arch> widen_each(const S* p) {
  T values[static_cast<std::size_t>(width<T, Arch>)];
  for (index i = 0; i < width<T, Arch>; ++i) values[i] = static_cast<T>(widened(p[i]));
  return simd::load<T, Arch>(values);
}

}  // namespace detail

template <class T, class Arch> HEED_INLINE batch<T, Arch> widen(const half* p) {
  [[maybe_unused]] constexpr std::size_t bytes = sizeof(batch<T, Arch>);
  static_assert(std::is_same_v<T, float>);
#if defined(__AVX512F__)
  if constexpr (bytes == 64)
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#endif
#if defined(__F16C__)
  if constexpr (bytes == 32)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#endif
  return detail::widen_each<T, Arch>(p);
}

template <class T, class Arch> HEED_INLINE batch<T, Arch> widen(const bfloat* p) {
  [[maybe_unused]] constexpr std::size_t bytes = sizeof(batch<T, Arch>);
  static_assert(std::is_same_v<T, float>);
#if defined(__AVX512F__)
  if constexpr (bytes == 64)
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
#endif
#if defined(__AVX2__)
  if constexpr (bytes == 32)
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
#endif
#if defined(__SSE2__)
  if constexpr (bytes == 16)
    return _mm_castsi128_ps(_mm_unpacklo_epi16(
        _mm_setzero_si128(), _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#endif
  return detail::widen_each<T, Arch>(p);
}

// Codes as they are.
template <class T, class Arch> HEED_INLINE batch<T, Arch> widen(const std::int8_t* p) {
  [[maybe_unused]] constexpr bool single = std::is_same_v<T, float>;
#if defined(__AVX512F__)
  if constexpr (single && sizeof(batch<T, Arch>) == 64)
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
#if defined(__AVX2__)
  if constexpr (single && sizeof(batch<T, Arch>) == 32)
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#endif
  return detail::widen_each<T, Arch>(p);
}

#if defined(__AVX512BW__) && defined(__AVX512VL__)
namespace detail {

// Sixteen lanes; masked out elements are not read.
HEED_INLINE __m512 widen_masked(const half* p, __mmask16 lanes) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p));
}
HEED_INLINE __m512 widen_masked(const bfloat* p, __mmask16 lanes) {
  const __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
HEED_INLINE __m512 widen_masked(const std::int8_t* p, __mmask16 lanes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, p)));
}

}  // namespace detail
#endif

// The first `count` elements, zero in the other lanes; 0 <= count <= lanes. Nothing else is read.
template <class T, class Arch, class S>
HEED_INLINE batch<T, Arch> widen_first(const S* p, index count) {
  if constexpr (std::is_same_v<S, T>) {
    return load_first<T, Arch>(p, count);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  } else if constexpr (std::is_same_v<T, float> && sizeof(batch<T, Arch>) == 64) {
    return detail::widen_masked(p, static_cast<__mmask16>((1U << count) - 1));
#endif
  } else {
    S some[static_cast<std::size_t>(width<T, Arch>)] = {};
    for (index i = 0; i < count; ++i) some[i] = p[i];
    return widen<T, Arch>(some);
  }
}

}  // namespace heed::simd
