// SPDX-License-Identifier: BSL-1.0
// Stored rows to rows of the compute type: what reads a cache without knowing its format.
#pragma once

#include <heed/kv/stored.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/widen.hpp>

namespace heed {

// The code of channel c of a row of codes.
inline int code_of(kv_type type, const unsigned char* row, index c) {
  if (type == kv_type::i8) return static_cast<std::int8_t>(row[c]);
  const int nibble = (row[c / 2] >> (c % 2 * 4)) & 15;
  return nibble < 8 ? nibble : nibble - 16;
}

template <class T> T scale_of(const void* scales, element type, index g) {
  return type == element::f32
             ? static_cast<T>(static_cast<const float*>(scales)[g])
             : static_cast<T>(simd::from_half(static_cast<const std::uint16_t*>(scales)[g]));
}

namespace detail {

// out[i] = scale · codes[i] + zero
template <class T> void load_codes(const std::int8_t* codes, index count, T scale, T zero, T* out) {
  using arch = simd::best;
  using B = simd::batch<T, arch>;
  index c = 0;
  for (; c + simd::width<T, arch> <= count; c += simd::width<T, arch>)
    simd::store(out + c, simd::fma(B(scale), simd::widen<T, arch>(codes + c), B(zero)));
  for (; c < count; ++c) out[c] = scale * static_cast<T>(codes[c]) + zero;
}

}  // namespace detail

// Row `n` of a run, `channels` of it.
template <class T> void load_stored(const stored_rows& rows, index n, index channels, T* out) {
  const unsigned char* const row = rows.data + n * rows.stride;
  if (!is_quantized(rows.type))
    return simd::load_row(static_cast<element>(rows.type), row, rows.step, channels, out);
  const stored_rows at = rows.from(n);
  for (index first = 0, g = 0; first < channels; first += rows.group, ++g) {
    const T scale = scale_of<T>(at.scales, at.scale_type, g);
    const T zero = at.zeros ? scale_of<T>(at.zeros, at.scale_type, g) : T(0);
    // Nibbles become bytes, some at a time.
    constexpr index some = 64;
    const index end = std::min(first + rows.group, channels);
    for (index c = first; c < end; c += some) {
      std::int8_t bytes[some];
      const index count = std::min(some, end - c);
      const std::int8_t* codes = bytes;
      if (rows.type == kv_type::i8)
        codes = reinterpret_cast<const std::int8_t*>(row + c);
      else
        for (index i = 0; i < count; ++i)
          bytes[i] = static_cast<std::int8_t>(
              static_cast<std::int8_t>(row[(c + i) / 2] << (4 - (c + i) % 2 * 4)) >> 4);
      detail::load_codes(codes, count, scale, zero, out + c);
    }
  }
}

}  // namespace heed
