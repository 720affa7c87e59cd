// SPDX-License-Identifier: BSL-1.0
// Products of 16-bit integers summed in 32 bits, the vectors of `integer_tile.hpp`. Where there is
// no such instruction, plain loops, one 32-bit lane wide. `words` has two 16-bit numbers for every
// 32-bit lane of `sums`. `pairs` interleaves two rows, so that both numbers of a lane are of one
// channel, in whatever order of channels is cheap; `unpair` puts sums into the order of the
// channels.
#pragma once

#include <cstring>
#include <heed/simd/sum_each.hpp>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace heed::simd {

struct plain_integers {
  struct words {
    std::int16_t a, b;
  };
  using sums = std::int32_t;
  using arch = scalar;
  static constexpr index lanes = 1;

  HEED_INLINE static words load(const std::int16_t* p) { return {p[0], p[1]}; }
  HEED_INLINE static words both(const std::int16_t* p) { return load(p); }
  HEED_INLINE static words widen(const std::int8_t* p) { return {p[0], p[1]}; }
  HEED_INLINE static void pairs(const words& a, const words& b, words& lo, words& hi) {
    lo = {a.a, b.a}, hi = {a.b, b.b};
  }
  HEED_INLINE static void unpair(sums&, sums&) {}
  HEED_INLINE static sums zero() { return 0; }
  HEED_INLINE static sums dot(sums s, const words& x, const words& y) {
    return s + x.a * y.a + x.b * y.b;
  }
  HEED_INLINE static float to_float(sums s) { return static_cast<float>(s); }
  HEED_INLINE static void round(float x, std::int16_t* out) {
    *out = static_cast<std::int16_t>(std::nearbyint(x));
  }
};

template <class Arch, std::size_t bytes = sizeof(batch<float, Arch>)>
struct integers : plain_integers {};

namespace detail {

template <class V, std::size_t N> HEED_INLINE void sum_integers(const V (&x)[N], float* out) {
  constexpr std::size_t W = sizeof(V) / 4;
  static_assert(N <= W || N % W == 0);
#if defined(HEED_HAS_SHUFFLE)
  if constexpr (W > 1) {
    typedef std::int32_t reg __attribute__((vector_size(sizeof(V))));
    constexpr std::size_t some = N < W ? N : W;
    HEED_UNROLL for (std::size_t first = 0; first < N; first += some) {
      reg r[some];
      HEED_UNROLL for (std::size_t i = 0; i < some; ++i) r[i] = std::bit_cast<reg>(x[first + i]);
      typedef float numbers __attribute__((vector_size(sizeof(V))));
      const numbers sums = __builtin_convertvector(sum_stages<std::int32_t, int(W), 1>(r), numbers);
      std::memcpy(out + first, &sums, some * sizeof(float));
    }
    return;
  }
#endif
  for (std::size_t i = 0; i < N; ++i) {
    std::int32_t each[W];
    std::memcpy(each, &x[i], sizeof each);
    std::int32_t sum = 0;
    for (std::int32_t one : each) sum += one;
    out[i] = static_cast<float>(sum);
  }
}

// `keep` for what is not a batch.
template <class V> HEED_INLINE void keep_words([[maybe_unused]] V& v) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
  if constexpr (!std::is_class_v<V>) asm("" : "+v"(v));
#endif
}
// `load` of the first `count` of a vector of numbers, zeros for the rest.
template <class V, class E, class F>
HEED_INLINE typename V::words some_words(const E* p, index count, [[maybe_unused]] const F& load) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  if constexpr (sizeof(typename V::words) == 64) {  // what is masked out is not read
    const auto lanes = static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
    if constexpr (sizeof(E) == 1)
      return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes, p));
    else
      return _mm512_maskz_loadu_epi16(lanes, p);
  }
#endif
  E some[static_cast<std::size_t>(2 * V::lanes)] = {};
  for (index i = 0; i < count; ++i) some[i] = p[i];
  return load(some);
}
inline std::int32_t two_words(const std::int16_t* p) {
  std::int32_t x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

}  // namespace detail
#if defined(__SSE2__)
template <class Arch> struct integers<Arch, 16> {
  using words = __m128i;
  using sums = __m128i;
  using arch = Arch;
  static constexpr index lanes = 4;

  HEED_INLINE static words load(const std::int16_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  HEED_INLINE static words both(const std::int16_t* p) {
    return _mm_set1_epi32(detail::two_words(p));
  }
  HEED_INLINE static words widen(const std::int8_t* p) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
  }
  HEED_INLINE static void pairs(words a, words b, words& lo, words& hi) {
    lo = _mm_unpacklo_epi16(a, b), hi = _mm_unpackhi_epi16(a, b);
  }
  HEED_INLINE static void unpair(sums&, sums&) {}
  HEED_INLINE static sums zero() { return _mm_setzero_si128(); }
  HEED_INLINE static sums dot(sums s, words x, words y) {
    return _mm_add_epi32(s, _mm_madd_epi16(x, y));
  }
  HEED_INLINE static batch<float, Arch> to_float(sums s) { return _mm_cvtepi32_ps(s); }
  HEED_INLINE static void round(const batch<float, Arch>& x, std::int16_t* out) {
    const __m128i n = _mm_cvtps_epi32(x);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi32(n, n));
  }
};
#endif

#if defined(__AVX2__)
template <class Arch> struct integers<Arch, 32> {
  using words = __m256i;
  using sums = __m256i;
  using arch = Arch;
  static constexpr index lanes = 8;

  HEED_INLINE static words load(const std::int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  HEED_INLINE static words both(const std::int16_t* p) {
    return _mm256_set1_epi32(detail::two_words(p));
  }
  HEED_INLINE static words widen(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  HEED_INLINE static void pairs(words a, words b, words& lo, words& hi) {
    lo = _mm256_unpacklo_epi16(a, b), hi = _mm256_unpackhi_epi16(a, b);
  }
  HEED_INLINE static void unpair(sums& lo, sums& hi) {
    const __m256i x = lo;
    lo = _mm256_permute2x128_si256(x, hi, 0x20), hi = _mm256_permute2x128_si256(x, hi, 0x31);
  }
  HEED_INLINE static sums zero() { return _mm256_setzero_si256(); }
  HEED_INLINE static sums dot(sums s, words x, words y) {
    return _mm256_add_epi32(s, _mm256_madd_epi16(x, y));
  }
  HEED_INLINE static batch<float, Arch> to_float(sums s) { return _mm256_cvtepi32_ps(s); }
  HEED_INLINE static void round(const batch<float, Arch>& x, std::int16_t* out) {
    const __m256i n = _mm256_cvtps_epi32(x);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1)));
  }
};
#endif

#if defined(__AVX512BW__)
template <class Arch> struct integers<Arch, 64> {
  using words = __m512i;
  using sums = __m512i;
  using arch = Arch;
  static constexpr index lanes = 16;

  HEED_INLINE static words load(const std::int16_t* p) { return _mm512_loadu_si512(p); }
  HEED_INLINE static words both(const std::int16_t* p) {
    return _mm512_set1_epi32(detail::two_words(p));
  }
  HEED_INLINE static words widen(const std::int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  HEED_INLINE static void pairs(words a, words b, words& lo, words& hi) {
    lo = _mm512_unpacklo_epi16(a, b), hi = _mm512_unpackhi_epi16(a, b);
  }
  HEED_INLINE static void unpair(sums& lo, sums& hi) {
    const __m512i x = _mm512_shuffle_i32x4(lo, hi, 0x44), y = _mm512_shuffle_i32x4(lo, hi, 0xee);
    lo = _mm512_shuffle_i32x4(x, x, 0xd8), hi = _mm512_shuffle_i32x4(y, y, 0xd8);
  }
  HEED_INLINE static sums zero() { return _mm512_setzero_si512(); }
  HEED_INLINE static sums dot(sums s, words x, words y) {
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(s, x, y);
#else
    return _mm512_add_epi32(s, _mm512_madd_epi16(x, y));
#endif
  }
  HEED_INLINE static batch<float, Arch> to_float(sums s) { return _mm512_cvtepi32_ps(s); }
  HEED_INLINE static void round(const batch<float, Arch>& x, std::int16_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
  }
};
#endif

}  // namespace heed::simd
