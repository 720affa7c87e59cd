// SPDX-License-Identifier: BSL-1.0
// Some lanes of a vector, and their sum, without a detour through memory where AVX-512 has a way: a
// vector load of what was just stored by elements waits for the stores.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

// The first `count` elements, zero in the other lanes; 0 <= count <= lanes. Nothing else is read.
template <class T, class Arch> HEED_INLINE batch<T, Arch> load_first(const T* p, index count) {
#if defined(__AVX512F__)
  const auto bits = static_cast<__mmask16>((1u << count) - 1);
  constexpr bool whole = sizeof(batch<T, Arch>) == 64;
  if constexpr (whole && std::is_same_v<T, float>) return _mm512_maskz_loadu_ps(bits, p);
  if constexpr (whole && std::is_same_v<T, double>)
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>(bits), p);
#endif
  T values[static_cast<std::size_t>(width<T, Arch>)] = {};
  for (index i = 0; i < count; ++i) values[i] = p[i];
  return load<T, Arch>(values);
}

// The first `count` lanes; nothing else is written.
template <class T, class Arch>
HEED_INLINE void store_first(T* p, const batch<T, Arch>& x, index count) {
#if defined(__AVX512F__)
  const auto bits = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, float>)
    return _mm512_mask_storeu_ps(p, bits, x);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, double>)
    return _mm512_mask_storeu_pd(p, static_cast<__mmask8>(bits), x);
#endif
  T values[static_cast<std::size_t>(width<T, Arch>)];
  simd::store(values, x);
  for (index i = 0; i < count; ++i) p[i] = values[i];
}

// x, its first `count` lanes multiplied by f.
template <class T, class Arch>
HEED_INLINE batch<T, Arch> scale_first(const batch<T, Arch>& x, const batch<T, Arch>& f,
                                       index count) {
#if defined(__AVX512F__)
  const auto bits = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, float>)
    return _mm512_mask_mul_ps(x, bits, x, f);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, double>)
    return _mm512_mask_mul_pd(x, static_cast<__mmask8>(bits), x, f);
#endif
  using B = batch<T, Arch>;
  return simd::select(iota<T, Arch>() < B(T(count)), B(x * f), x);
}

template <class T, class Arch> HEED_INLINE T sum_lanes(const batch<T, Arch>& x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, float>) return _mm512_reduce_add_ps(x);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, double>) return _mm512_reduce_add_pd(x);
#endif
  if constexpr (std::is_same_v<Arch, scalar>)
    return x;
  else if constexpr (requires { reduce_add(x); })  // xsimd's name for hadd from 9 on
    return reduce_add(x);
  else
    return hadd(x);
}

// Not told: which of them, where one is NaN.
template <class T, class Arch> HEED_INLINE T max_lanes(const batch<T, Arch>& x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, float>) return _mm512_reduce_max_ps(x);
  if constexpr (sizeof(x) == 64 && std::is_same_v<T, double>) return _mm512_reduce_max_pd(x);
#endif
  T each[static_cast<std::size_t>(width<T, Arch>)];
  simd::store(each, x);
  HEED_UNROLL for (index n = width<T, Arch> / 2; n > 0; n /= 2)
      HEED_UNROLL for (index i = 0; i < n; ++i) each[i] = simd::max(each[i], each[i + n]);
  return each[0];
}

}  // namespace heed::simd
