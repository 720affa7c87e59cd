// SPDX-License-Identifier: BSL-1.0
// Rows anywhere, `stride` elements a row, to lanes and back: lane i is the row at[i].
//
//   listed_to_lanes    Q[c][lane]  = factor * rows[at[lane]][c]             c < columns
//   listed_from_lanes  rows[at[lane]][c] = factor[lane] * O[c][lane]        c < columns
//
// Transposes of W × W registers, as `to_lanes` and `from_lanes` of rows side by side.
#pragma once

#include <heed/simd/transpose.hpp>

namespace heed::simd {

// One vector of lanes; those from `count` on become zero.
template <class T, class Arch>
HEED_NOINLINE void listed_to_lanes(const T* rows, index stride, const index* at, index count,
                                   index columns, T factor, T* out, index pitch) {
  index c = 0;
#if defined(HEED_HAS_SHUFFLE)
  constexpr index W = width<T, Arch>;
  if constexpr (W > 1) {
    typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
    typedef T reg __attribute__((vector_size(sizeof(T) * W)));
    for (; c + W <= columns; c += W) {
      reg r[W];
      HEED_UNROLL for (index i = 0; i < W; ++i) r[i] =
          i < count ? *reinterpret_cast<const vec*>(rows + at[i] * stride + c) * factor : reg{};
      detail::transpose_registers<T>(r);
      HEED_UNROLL for (index i = 0; i < W; ++i) * reinterpret_cast<vec*>(out + (c + i) * pitch) =
          r[i];
    }
  }
#endif
  for (; c < columns; ++c) {
    simd::store(out + c * pitch, batch<T, Arch>(T(0)));
    for (index i = 0; i < count; ++i) out[c * pitch + i] = rows[at[i] * stride + c] * factor;
  }
}

// One vector of lanes, the first `count` of them.
template <class T, class Arch>
HEED_NOINLINE void listed_from_lanes(const T* in, index pitch, const index* at, index count,
                                     index columns, const T* factor, T* rows, index stride) {
  index c = 0;
#if defined(HEED_HAS_SHUFFLE)
  constexpr index W = width<T, Arch>;
  if constexpr (W > 1) {
    typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
    typedef T reg __attribute__((vector_size(sizeof(T) * W)));
    const reg by = *reinterpret_cast<const vec*>(factor);
    for (; c + W <= columns; c += W) {
      reg r[W];
      HEED_UNROLL for (index i = 0; i < W; ++i) r[i] =
          *reinterpret_cast<const vec*>(in + (c + i) * pitch) * by;
      detail::transpose_registers<T>(r);
      HEED_UNROLL for (index i = 0; i < W; ++i) if (i < count) *
          reinterpret_cast<vec*>(rows + at[i] * stride + c) = r[i];
    }
  }
#endif
  for (; c < columns; ++c)
    for (index i = 0; i < count; ++i) rows[at[i] * stride + c] = in[c * pitch + i] * factor[i];
}

}  // namespace heed::simd
