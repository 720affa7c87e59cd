// SPDX-License-Identifier: BSL-1.0
// Rows of any storage type to and from rows of the compute type.
#pragma once

#include <algorithm>
#include <bit>
#include <heed/core/storage.hpp>
#include <heed/simd/simd.hpp>
#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace heed::simd {

// IEEE binary16 <-> binary32, by arithmetic on the bits: round to nearest even, denormals,
// infinities and NaN kept.
inline float from_half(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16;
  std::uint32_t bits = std::uint32_t(h & 0x7fffu) << 13;
  if (bits >= 0x0f800000u) return std::bit_cast<float>(sign | bits | 0x7f800000u);
  if (bits < 0x00800000u)
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(float(h & 0x7fffu) * 0x1p-24f));
  bits += 0x38000000u;
  return std::bit_cast<float>(sign | bits);
}
inline std::uint16_t to_half(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    const float steps = std::bit_cast<float>(magnitude) * 0x1p24f;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(steps)));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u;
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}
inline float from_bfloat(std::uint16_t h) { return std::bit_cast<float>(std::uint32_t(h) << 16); }
inline std::uint16_t to_bfloat(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

namespace detail {

template <class T> void load_half(const std::uint16_t* p, index stride, index count, T* out) {
  index i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, float>)
    if (stride == 1)
      for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i,
                         _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i))));
#endif
  for (; i < count; ++i) out[i] = T(from_half(p[i * stride]));
}

}  // namespace detail

// `count` elements, `stride` apart, to out[0 .. count).
template <class T>
HEED_NOINLINE void load_row(element type, const void* row, index stride, index count, T* out) {
  const auto copy = [&](const auto* p) {
    if constexpr (std::is_same_v<decltype(p), const T*>)
      if (stride == 1) {
        std::copy_n(p, count, out);
        return;
      }
    if (stride == 1)
      for (index i = 0; i < count; ++i) out[i] = T(p[i]);
    else
      for (index i = 0; i < count; ++i) out[i] = T(p[i * stride]);
  };
  switch (type) {
    case element::f32:
      return copy(static_cast<const float*>(row));
    case element::f64:
      return copy(static_cast<const double*>(row));
    case element::f16:
      return detail::load_half(static_cast<const std::uint16_t*>(row), stride, count, out);
    case element::bf16: {
      const auto* p = static_cast<const std::uint16_t*>(row);
      for (index i = 0; i < count; ++i) out[i] = T(from_bfloat(p[i * stride]));
    }
  }
}

template <class T>
HEED_NOINLINE void store_row(element type, const T* in, index count, void* row, index stride) {
  const auto put = [&](auto* p, auto f) {
    if constexpr (std::is_same_v<decltype(p), T*>)
      if (stride == 1) {
        std::copy_n(in, count, p);
        return;
      }
    for (index i = 0; i < count; ++i) p[i * stride] = f(in[i]);
  };
  switch (type) {
    case element::f32:
      return put(static_cast<float*>(row), [](T x) { return float(x); });
    case element::f64:
      return put(static_cast<double*>(row), [](T x) { return double(x); });
    case element::f16:
      return put(static_cast<std::uint16_t*>(row), [](T x) { return to_half(float(x)); });
    case element::bf16:
      return put(static_cast<std::uint16_t*>(row), [](T x) { return to_bfloat(float(x)); });
  }
}

}  // namespace heed::simd
