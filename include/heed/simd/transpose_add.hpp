// SPDX-License-Identifier: BSL-1.0
// A transpose that adds to what is there.
#pragma once

#include <heed/simd/transpose.hpp>

namespace heed::simd {

namespace detail {

template <class T>
void transpose_add_plain(const T* in, index in_stride, index rows, index columns, T* out,
                         index out_stride) {
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < columns; ++c) out[c * out_stride + r] += in[r * in_stride + c];
}

#if defined(HEED_HAS_SHUFFLE)
template <class T, class Arch>
HEED_INLINE void transpose_add_square(const T* in, index in_stride, T* out, index out_stride) {
  constexpr index W = width<T, Arch>;
  typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
  typedef T reg __attribute__((vector_size(sizeof(T) * W)));
  reg r[W];
  HEED_UNROLL for (index i = 0; i < W; ++i) r[i] =
      *reinterpret_cast<const vec*>(in + i * in_stride);
  transpose_registers<T>(r);
  HEED_UNROLL for (index i = 0; i < W; ++i) {
    vec* const x = reinterpret_cast<vec*>(out + i * out_stride);
    *x = *x + r[i];
  }
}
#endif

}  // namespace detail

// out[c][r] += in[r][c] for r < rows, c < columns.
template <class T, class Arch>
HEED_NOINLINE void transpose_add(const T* in, index in_stride, index rows, index columns, T* out,
                                 index out_stride) {
#if defined(HEED_HAS_SHUFFLE)
  constexpr index W = width<T, Arch>;
  if constexpr (W > 1) {
    const index whole_rows = rows - rows % W, whole_columns = columns - columns % W;
    for (index r = 0; r < whole_rows; r += W)
      for (index c = 0; c < whole_columns; c += W)
        detail::transpose_add_square<T, Arch>(in + r * in_stride + c, in_stride,
                                              out + c * out_stride + r, out_stride);
    detail::transpose_add_plain(in + whole_columns, in_stride, whole_rows, columns - whole_columns,
                                out + whole_columns * out_stride, out_stride);
    detail::transpose_add_plain(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns,
                                out + whole_rows, out_stride);
    return;
  }
#endif
  detail::transpose_add_plain(in, in_stride, rows, columns, out, out_stride);
}

}  // namespace heed::simd
