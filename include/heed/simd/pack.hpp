// SPDX-License-Identifier: BSL-1.0
// Packing: every layout and element type becomes the few that the micro-kernels read, with row
// transforms applied on the way.
#pragma once

#include <algorithm>
#include <heed/core/policy.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/shape.hpp>
#include <heed/simd/transpose.hpp>

namespace heed::simd {

template <class T> bool stored_as(const operand& x) {
  return x.type == element_of<T>::value && x.stride[3] == 1;
}

// Applies a row transform or a chain of them.
template <class Arch, class F, class T>
void transform_row(const F& f, T* row, index depth, const row_position& at) {
  if constexpr (is_chain<F>) {
    transform_row<Arch>(f.first, row, depth, at);
    transform_row<Arch>(f.second, row, depth, at);
  } else if constexpr (requires { f.template row<Arch>(row, depth, at); }) {
    f.template row<Arch>(row, depth, at);
  } else if constexpr (!std::is_same_v<F, none>) {
    f(row, depth, at);
  }
}

// The same for `count` rows of consecutive positions, `stride` apart, the first of them at `at`. A
// transform to which its neighbours are of use has `rows<Arch>(x, stride, count, channels, at)`.
template <class Arch, class F, class T>
void transform_rows(const F& f, T* x, index stride, index count, index depth,
                    const row_position& at) {
  if constexpr (is_chain<F>) {
    transform_rows<Arch>(f.first, x, stride, count, depth, at);
    transform_rows<Arch>(f.second, x, stride, count, depth, at);
  } else if constexpr (requires { f.template rows<Arch>(x, stride, count, depth, at); }) {
    f.template rows<Arch>(x, stride, count, depth, at);
  } else if constexpr (!std::is_same_v<F, none>) {
    for (index i = 0; i < count; ++i)
      transform_row<Arch>(f, x + i * stride, depth, {at.b, at.h, at.pos + i, at.row + i});
  }
}

namespace detail {

#if defined(HEED_HAS_SHUFFLE)
// W / 4 rows of W floats: four channels of all of them, then the next four, `block` apart.
template <class Arch>
HEED_INLINE void pack_square(const float* rows, index stride, index block, float* out) {
  constexpr index W = width<float, Arch>;
  typedef float vec __attribute__((vector_size(4 * W), aligned(4), may_alias));
  typedef float reg __attribute__((vector_size(4 * W)));
  constexpr auto lanes = std::make_index_sequence<std::size_t(W)>{};
  reg r[W / 4];
  HEED_UNROLL for (index i = 0; i < W / 4; ++i) r[i] =
      *reinterpret_cast<const vec*>(rows + i * stride);
  if constexpr (W == 8) {
    const reg low = quarters<0>(r[0], r[1], lanes);
    r[1] = quarters<1>(r[0], r[1], lanes);
    r[0] = low;
  } else if constexpr (W == 16) {
    const reg a = quarters<0>(r[0], r[1], lanes), b = quarters<1>(r[0], r[1], lanes),
              d = quarters<0>(r[2], r[3], lanes), e = quarters<1>(r[2], r[3], lanes);
    r[0] = quarters<0>(a, d, lanes), r[2] = quarters<1>(a, d, lanes);
    r[1] = quarters<0>(b, e, lanes), r[3] = quarters<1>(b, e, lanes);
  }
  HEED_UNROLL for (index i = 0; i < W / 4; ++i) * reinterpret_cast<vec*>(out + i * block) = r[i];
}
#endif

}  // namespace detail

// Values of one key tile, [channels / 4][tile][4] with absent channels zero: `block` is 4 · tile.
// Eight rows at a time: whole lines are written, and rows a power of two apart stay in L1 until
// all their channels are read.
template <class Arch = best, class T>
void pack_values(const T* rows, index stride, index keys, index channels, index block, T* out) {
  constexpr index W = width<T, Arch>;
  const index whole = channels - channels % 4;
  for (index first = 0; first < keys; first += 8) {
    const index last = std::min<index>(first + 8, keys);
    index done = 0;
#if defined(HEED_HAS_SHUFFLE)
    if constexpr (sizeof(T) == 4 && W >= 8)
      if (last - first == 8)
        for (; done + W <= channels; done += W)
          for (index j = first; j < last; j += W / 4)
            detail::pack_square<Arch>(rows + j * stride + done, stride, block,
                                      out + done / 4 * block + 4 * j);
#endif
    for (index d = done; d < whole; d += 4)
      for (index j = first; j < last; ++j)
        std::copy_n(rows + j * stride + d, 4, out + d / 4 * block + 4 * j);
    if (whole < channels)
      for (index j = first; j < last; ++j)
        for (index i = 0; i < 4; ++i)
          out[whole / 4 * block + 4 * j + i] =
              whole + i < channels ? rows[j * stride + whole + i] : T(0);
  }
}

template <class T> bool all_finite(const T* rows, index stride, index count, index channels) {
  T sum[8] = {};
  for (index j = 0; j < count; ++j) {
    const T* row = rows + j * stride;
    index d = 0;
    for (; d + 8 <= channels; d += 8)
      for (index i = 0; i < 8; ++i) sum[i] += row[d + i] * T(0);
    for (; d < channels; ++d) sum[0] += row[d] * T(0);
  }
  T total = 0;
  for (T x : sum) total += x;
  return total == T(0);
}

// The same for rows of whole vectors.
template <class T, class Arch>
HEED_NOINLINE bool all_finite_vectors(const T* rows, index stride, index count, index channels) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  const B zero(T(0));
  B even(T(0)), odd(T(0));
  for (index j = 0; j < count; ++j, std::swap(even, odd))
    for (index c = 0; c < channels; c += W)
      even = simd::fma(simd::load<T, Arch>(rows + j * stride + c), zero, even);
  return sum_lanes<T, Arch>(B(even + odd)) == T(0);
}

}  // namespace heed::simd
