// SPDX-License-Identifier: BSL-1.0
// W × W transposes, W the lanes of the arch, with a plain loop for tails and other compilers.
#pragma once

#include <cstddef>
#include <heed/simd/simd.hpp>
#include <utility>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HEED_HAS_SHUFFLE 1
#endif
#endif

namespace heed::simd {

namespace detail {

template <class T>
void transpose_plain(const T* in, index in_stride, index rows, index columns, T factor, T* out,
                     index out_stride) {
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * in_stride + c] * factor;
}

#if defined(HEED_HAS_SHUFFLE)
// One butterfly: exchanges the off-diagonal blocks of `Block` lanes between two rows.
template <int Block, class V, std::size_t... I>
HEED_INLINE void exchange(V& a, V& b, std::index_sequence<I...>) {
  constexpr int W = sizeof...(I);
  const V low = __builtin_shufflevector(a, b, ((int(I) & Block) ? W + int(I) - Block : int(I))...);
  const V high = __builtin_shufflevector(a, b, ((int(I) & Block) ? W + int(I) : int(I) + Block)...);
  a = low;
  b = high;
}
template <int Block, class V, std::size_t W> HEED_INLINE void butterflies(V (&r)[W]) {
  HEED_UNROLL for (int i = 0; i < int(W); ++i) if (!(i & Block))
      exchange<Block>(r[i], r[i + Block], std::make_index_sequence<W>{});
  if constexpr (Block > 1) butterflies<Block / 2>(r);
}

// (a, b) by pairs of `Size` lanes of each 128 bits: those of even, or of odd, halves.
template <int Size, int High, class V, std::size_t... I>
HEED_INLINE V interleaved(const V& a, const V& b, std::index_sequence<I...>) {
  constexpr int W = sizeof...(I);
  return __builtin_shufflevector(a, b,
                                 (int(I) / 4 * 4 + (int(I) % 4 / (2 * Size)) * Size + High * 2 +
                                  int(I) % Size + (int(I) % (2 * Size) / Size) * W)...);
}
// Quarters of 128 bits: First and First + 2 of each, or its only other one.
template <int First, class V, std::size_t... I>
HEED_INLINE V quarters(const V& a, const V& b, std::index_sequence<I...>) {
  constexpr int W = sizeof...(I), half = W / 2;
  return __builtin_shufflevector(
      a, b, ((First + int(I) % half / 4 * 2) * 4 + int(I) % 4 + int(I) / half * W)...);
}
// Floats: 4 × 4 within 128 bits, then 128 bits as one: shuffles that need no table of lanes.
template <class V, std::size_t W> HEED_INLINE void transpose_floats(V (&r)[W]) {
  constexpr auto lanes = std::make_index_sequence<W>{};
  V t[W];
  HEED_UNROLL for (std::size_t g = 0; g < W; g += 4) {
    t[g] = interleaved<1, 0>(r[g], r[g + 1], lanes);
    t[g + 1] = interleaved<1, 1>(r[g], r[g + 1], lanes);
    t[g + 2] = interleaved<1, 0>(r[g + 2], r[g + 3], lanes);
    t[g + 3] = interleaved<1, 1>(r[g + 2], r[g + 3], lanes);
    r[g] = interleaved<2, 0>(t[g], t[g + 2], lanes);
    r[g + 1] = interleaved<2, 1>(t[g], t[g + 2], lanes);
    r[g + 2] = interleaved<2, 0>(t[g + 1], t[g + 3], lanes);
    r[g + 3] = interleaved<2, 1>(t[g + 1], t[g + 3], lanes);
  }
  if constexpr (W == 8) {
    HEED_UNROLL for (std::size_t c = 0; c < 4; ++c) {
      const V low = quarters<0>(r[c], r[c + 4], lanes);
      r[c + 4] = quarters<1>(r[c], r[c + 4], lanes);
      r[c] = low;
    }
  } else if constexpr (W == 16) {
    HEED_UNROLL for (std::size_t c = 0; c < 4; ++c) {
      const V a = quarters<0>(r[c], r[c + 4], lanes), b = quarters<1>(r[c], r[c + 4], lanes),
              d = quarters<0>(r[c + 8], r[c + 12], lanes),
              e = quarters<1>(r[c + 8], r[c + 12], lanes);
      r[c] = quarters<0>(a, d, lanes), r[c + 8] = quarters<1>(a, d, lanes);
      r[c + 4] = quarters<0>(b, e, lanes), r[c + 12] = quarters<1>(b, e, lanes);
    }
  }
}
template <class T, class V, std::size_t W> HEED_INLINE void transpose_registers(V (&r)[W]) {
  if constexpr (sizeof(T) == 4 && W >= 4)
    transpose_floats(r);
  else
    butterflies<int(W / 2)>(r);
}
// A W × W block of which `rows` rows are read, zeros standing for the rest, and `columns` written.
// `factor` is one number, or one a column of `in`.
template <class T, class Arch, class F>
HEED_INLINE void transpose_square(const T* in, index in_stride, index rows, F factor, T* out,
                                  index out_stride, index columns) {
  constexpr index W = width<T, Arch>;
  typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
  typedef T reg __attribute__((vector_size(sizeof(T) * W)));
  reg r[W];
  HEED_UNROLL for (index i = 0; i < W; ++i) r[i] =
      i < rows ? *reinterpret_cast<const vec*>(in + i * in_stride) * factor : reg{};
  transpose_registers<T>(r);
  HEED_UNROLL for (index i = 0; i < W; ++i) if (i < columns) *
      reinterpret_cast<vec*>(out + i * out_stride) = r[i];
}
#endif

}  // namespace detail

// out[c][r] = factor * in[r][c] for r < rows, c < columns.
template <class T, class Arch>
HEED_NOINLINE void transpose(const T* in, index in_stride, index rows, index columns, T factor,
                             T* out, index out_stride) {
#if defined(HEED_HAS_SHUFFLE)
  constexpr index W = width<T, Arch>;
  if constexpr (W > 1) {
    const index whole_rows = rows - rows % W, whole_columns = columns - columns % W;
    for (index r = 0; r < whole_rows; r += W)
      for (index c = 0; c < whole_columns; c += W)
        detail::transpose_square<T, Arch>(in + r * in_stride + c, in_stride, W, factor,
                                          out + c * out_stride + r, out_stride, W);
    detail::transpose_plain(in + whole_columns, in_stride, whole_rows, columns - whole_columns,
                            factor, out + whole_columns * out_stride, out_stride);
    detail::transpose_plain(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns,
                            factor, out + whole_rows, out_stride);
    return;
  }
#endif
  detail::transpose_plain(in, in_stride, rows, columns, factor, out, out_stride);
}

// Rows to lanes: as `transpose`, and lanes from `rows` up to the next multiple of W become zero.
template <class T, class Arch>
HEED_NOINLINE void to_lanes(const T* in, index in_stride, index rows, index columns, T factor,
                            T* out, index pitch) {
  constexpr index W = width<T, Arch>;
  for (index r = 0; r < rows; r += W, in += W * in_stride, out += W) {
    const index some = rows - r < W ? rows - r : W;
    index c = 0;
#if defined(HEED_HAS_SHUFFLE)
    if constexpr (W > 1) {
      // A constant number of rows is a tenth faster.
      if (some == W)
        for (; c + W <= columns; c += W)
          detail::transpose_square<T, Arch>(in + c, in_stride, W, factor, out + c * pitch, pitch,
                                            W);
      else
        for (; c + W <= columns; c += W)
          detail::transpose_square<T, Arch>(in + c, in_stride, some, factor, out + c * pitch, pitch,
                                            W);
    }
#endif
    for (; c < columns; ++c) {
      simd::store(out + c * pitch, batch<T, Arch>(T(0)));
      for (index i = 0; i < some; ++i) out[c * pitch + i] = in[i * in_stride + c] * factor;
    }
  }
}

// Lanes to rows: out[r][c] = factor[r] * in[c][r] for r < rows, c < columns. Whole vectors of `in`
// and `factor` are read.
template <class T, class Arch>
HEED_NOINLINE void from_lanes(const T* in, index pitch, index rows, index columns, const T* factor,
                              T* out, index out_stride) {
  constexpr index W = width<T, Arch>;
  for (index r = 0; r < rows; r += W, in += W, factor += W, out += W * out_stride) {
    const index some = rows - r < W ? rows - r : W;
    index c = 0;
#if defined(HEED_HAS_SHUFFLE)
    if constexpr (W > 1) {
      typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
      typedef T reg __attribute__((vector_size(sizeof(T) * W)));
      const reg lanes = *reinterpret_cast<const vec*>(factor);
      for (; c + W <= columns; c += W)
        detail::transpose_square<T, Arch>(in + c * pitch, pitch, W, lanes, out + c, out_stride,
                                          some);
    }
#endif
    for (; c < columns; ++c)
      for (index i = 0; i < some; ++i) out[i * out_stride + c] = in[c * pitch + i] * factor[i];
  }
}

}  // namespace heed::simd
