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
  butterflies<int(W / 2)>(r);
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
    if constexpr (W > 1)
      for (; c + W <= columns; c += W)
        detail::transpose_square<T, Arch>(in + c, in_stride, some, factor, out + c * pitch, pitch,
                                          W);
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
