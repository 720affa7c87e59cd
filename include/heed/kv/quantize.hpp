// SPDX-License-Identifier: BSL-1.0
// Numbers to codes: x ≈ scale · code + zero with |x - x'| <= scale / 2.
//
// `scale` and `zero` are the numbers as they are kept, after rounding, so the bound holds for what
// is read back; what float arithmetic adds is at most 2^-15 · scale + 2^-23 · (|x| + |zero|).
// Codes are symmetric without a zero, -127 … 127 and -7 … 7, and use all of their range with one;
// zero is kept exactly where no zero point is.
//
// Numbers beyond 2^127 come to sit there, with half scales those further than 7 · 65504 (int8:
// 127 · 65504) from the zero; half scales are multiples of 2^-24. A set of numbers with a NaN or
// an infinity, or one beyond float, has a scale of NaN: all of it reads as NaN, which is loud, and
// never more than that set. Where a set spans tokens, callers must refuse such numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/kv/format.hpp>
#include <heed/simd/convert.hpp>
#include <limits>

namespace heed::detail {

struct code_range {
  int low, high;
};
constexpr code_range codes_of(const kv_format& f) {
  const int high = f.type == kv_type::i8 ? 127 : 7;
  return {f.zero ? -high - 1 : -high, high};
}

struct affine {
  float scale = 0, zero = 0;
};

// What is read back of a number kept as a scale; the largest there is in place of infinity.
inline float as_kept(element kept, double x) {
  constexpr double most = std::numeric_limits<float>::max();
  const float f = static_cast<float>(std::clamp(x, -most, most));
  return kept == element::f32 ? f
                              : simd::from_half(simd::to_half(std::clamp(f, -65504.f, 65504.f)));
}
inline void keep(element kept, void* to, index n, float x) {
  if (kept == element::f32)
    static_cast<float*>(to)[n] = x;
  else
    static_cast<std::uint16_t*>(to)[n] = simd::to_half(x);
}
// The next larger scale.
inline float next_kept(element kept, float x) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  if (kept == element::f32) return std::nextafter(x, infinity);
  const auto bits = static_cast<std::uint16_t>(simd::to_half(x) + 1);
  return bits < 0x7c00 ? simd::from_half(bits) : 65504.f;
}

// Scale and zero of numbers within [least, most].
inline affine fit(const kv_format& f, float least, float most) {
  const code_range codes = codes_of(f);
  const double low = std::clamp(double(least), -0x1p127, 0x1p127),
               high = std::clamp(double(most), -0x1p127, 0x1p127);
  affine a;
  if (f.zero) a.zero = as_kept(f.scale, low - (high - low) * codes.low / (codes.high - codes.low));
  const double above = std::max(0.0, high - double(a.zero)),
               below = std::max(0.0, double(a.zero) - low);
  a.scale = as_kept(f.scale, std::max(above / codes.high, below / -codes.low));
  // A rounded scale falls short by less than half a code, unless it is denormal.
  if (double(a.scale) * (codes.high + 0.5) < above || double(a.scale) * (0.5 - codes.low) < below)
    a.scale = next_kept(f.scale, a.scale);
  return a;
}

// Channels that are coded at a time; loops over them are written for the compiler to vectorise.
inline constexpr index coded_at_once = 64;

// The least and the most of each of `lanes` lanes, and whether all numbers are finite.
struct extremes {
  float least[coded_at_once], most[coded_at_once];
  bool finite = true;

  explicit extremes(float x) {
    std::fill_n(least, coded_at_once, x), std::fill_n(most, coded_at_once, x);
  }
  void add(const float* x, index lanes) {
    int wrong = 0;
    for (index i = 0; i < lanes; ++i) {
      least[i] = x[i] < least[i] ? x[i] : least[i];
      most[i] = x[i] > most[i] ? x[i] : most[i];
      wrong |= !(std::abs(x[i]) <= std::numeric_limits<float>::max());
    }
    finite = finite && wrong == 0;
  }
  // All lanes into the first.
  void fold() {
    for (index n = coded_at_once / 2; n > 0; n /= 2)
      for (index i = 0; i < n; ++i) {
        least[i] = least[i + n] < least[i] ? least[i + n] : least[i];
        most[i] = most[i + n] > most[i] ? most[i + n] : most[i];
      }
  }
};

// Codes of numbers that each have a scale and a zero, rounded half to even. Numbers at an end are
// clamped before they are rounded, which gives the same codes.
template <class Scale, class Zero>
void code_all(code_range codes, const float* x, const Scale& scale, const Zero& zero, index count,
              signed char* out) {
  const float low = float(codes.low), high = float(codes.high);
  for (index i = 0; i < count; ++i) {
    float at = (x[i] - zero(i)) / scale(i);
    at = at > low ? at : low;
    at = at < high ? at : high;
    out[i] = static_cast<signed char>(static_cast<int>(std::nearbyint(at)));
  }
}

// Codes of channels from c on, in the order of c: a byte's high nibble comes after its low one.
inline void put_codes(kv_type type, unsigned char* row, index c, index count,
                      const signed char* codes) {
  const auto byte = [](int code) { return static_cast<unsigned char>(code); };
  if (type == kv_type::i8) {
    for (index i = 0; i < count; ++i) row[c + i] = byte(codes[i]);
    return;
  }
  index i = 0;
  if (c % 2 != 0 && count > 0) row[c / 2] = byte((row[c / 2] & 15) | codes[i++] * 16);
  unsigned char* const to = row + (c + i) / 2;
  const signed char* const from = codes + i;
  const index pairs = (count - i) / 2;
  for (index n = 0; n < pairs; ++n) to[n] = byte((from[2 * n] & 15) | from[2 * n + 1] * 16);
  if ((count - i) % 2 != 0) to[pairs] = byte(from[2 * pairs] & 15);
}

// What a scale of 0 divides by: all numbers are the zero, whose code is 0. A set that is not finite
// has any codes, for its scale is NaN.
inline float divisor_of(const affine& a) { return a.scale > 0 ? a.scale : 1; }
inline affine not_finite() { return {std::numeric_limits<float>::quiet_NaN(), 0}; }

// One token's row of `width` channels, with its scales and zeros.
inline void quantize_row(const kv_format& f, const float* x, index width, unsigned char* row,
                         void* scales, void* zeros) {
  const index group = f.group_of(width);
  for (index first = 0, g = 0; first < width; first += group, ++g) {
    const index last = std::min(first + group, width);
    extremes e(x[first]);
    for (index c = first; c < last; c += coded_at_once)
      e.add(x + c, std::min(coded_at_once, last - c));
    e.fold();
    const affine a = e.finite ? fit(f, e.least[0], e.most[0]) : not_finite();
    const float divisor = divisor_of(a);
    keep(f.scale, scales, g, a.scale);
    if (f.zero) keep(f.scale, zeros, g, a.zero);
    signed char codes[coded_at_once] = {};
    for (index c = first; c < last; c += coded_at_once) {
      const index count = std::min(coded_at_once, last - c);
      if (e.finite)
        code_all(
            codes_of(f), x + c, [&](index) { return divisor; }, [&](index) { return a.zero; },
            count, codes);
      put_codes(f.type, row, c, count, codes);
    }
  }
}

// kv_block rows, one scale a channel; rows of x are `width` apart, rows of codes `stride` bytes.
// Numbers are finite.
inline void quantize_block(const kv_format& f, const float* x, index width, unsigned char* rows,
                           index stride, void* scales, void* zeros) {
  for (index first = 0; first < width; first += coded_at_once) {
    const index count = std::min(coded_at_once, width - first);
    extremes e(0);
    std::copy_n(x + first, count, e.least), std::copy_n(x + first, count, e.most);
    for (index n = 0; n < kv_block; ++n) e.add(x + n * width + first, count);
    float scale[coded_at_once], zero[coded_at_once];
    for (index c = 0; c < count; ++c) {
      const affine a = fit(f, e.least[c], e.most[c]);
      keep(f.scale, scales, first + c, a.scale);
      if (f.zero) keep(f.scale, zeros, first + c, a.zero);
      scale[c] = divisor_of(a), zero[c] = a.zero;
    }
    signed char codes[coded_at_once];
    for (index n = 0; n < kv_block; ++n) {
      code_all(
          codes_of(f), x + n * width + first, [&](index i) { return scale[i]; },
          [&](index i) { return zero[i]; }, count, codes);
      put_codes(f.type, rows + n * stride, first, count, codes);
    }
  }
}

}  // namespace heed::detail
