// SPDX-License-Identifier: BSL-1.0
// The two micro-kernels of few queries over many stored rows: rows are read where they lie, in
// their storage type, lanes along channels. `row_tile_scalar.hpp` states the same contracts in
// plain loops.
//
//   row_scores      S[r][j]  = sum_c q[r][c] * k(j, c)        r < rows, j < keys, c < depth
//   row_accumulate  O[r][d] += sum_j p[r][j] * v(j, d)        d < channels
//
// Each matrix has rows of contiguous elements, `…_stride` or `…_pitch` elements apart. Stored rows
// are T, or with T = float also f16 and bf16; their elements lie side by side (step 1), aligned as
// elements are. Nothing outside the named elements is read; outputs do not overlap inputs. Any
// extents >= 0. A tile of O is summed from zero and added at the end: rounding errors grow with the
// tile, not with the row.
//
// `ahead` bytes from what it reads, or nowhere if that is 0, the loop asks for memory line by line.
// A hint, never read.
//
// Cost: blocks of up to four queries share every load, 16 accumulators on 32 registers, else 8.
#pragma once

#include <heed/simd/row_blocks.hpp>
#include <heed/simd/sum_each.hpp>
#include <heed/simd/widen.hpp>

namespace heed::simd {

namespace detail {

// S of R queries and J rows, side by side in registers: acc[r * J + j].
template <class T, class Arch, class S, int R, int J>
HEED_INLINE void row_dots(const unsigned char* k, index stride, const T* q, index q_stride,
                          index depth, std::intptr_t ahead, T* s, index s_pitch) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>, line = 64 / index(sizeof(S));
  constexpr index step = W < line ? line : W;
  const S* key[J];
  HEED_UNROLL for (int j = 0; j < J; ++j) key[j] = reinterpret_cast<const S*>(k + j * stride);
  B acc[R * J];
  HEED_UNROLL for (int i = 0; i < R * J; ++i) acc[i] = B(T(0));
  const auto add = [&](index c, auto load_key, auto load_query) HEED_INLINE_LAMBDA {
    B one[J];
    HEED_UNROLL for (int j = 0; j < J; ++j) {
      one[j] = load_key(key[j] + c);
      if constexpr (R > 1) keep(one[j]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      B x = load_query(q + r * q_stride + c);
      if constexpr (J > 1) keep(x);
      HEED_UNROLL for (int j = 0; j < J; ++j) {
        acc[r * J + j] = simd::fma(x, one[j], acc[r * J + j]);
        in_order(acc[r * J + j]);
      }
    }
  };
  const auto whole = [](const auto* p) HEED_INLINE_LAMBDA { return widen<T, Arch>(p); };
  // Rows that lie together are asked for in the order of memory, 9 % faster than in that of
  // reading.
  const bool together = stride == depth * index(sizeof(S));
  const index jump = together ? 64 : stride, unit = index(sizeof(S)) * (together ? J : 1);
  index c = 0;
  for (; c + step <= depth; c += step) {
    if (ahead != 0) HEED_UNROLL
    for (int j = 0; j < J; ++j) ask(k + j * jump + c * unit, ahead);
    HEED_UNROLL for (index n = 0; n < step; n += W) add(c + n, whole, whole);
  }
  if (c < depth) {
    if (ahead != 0) HEED_UNROLL
    for (int j = 0; j < J; ++j) ask(k + j * jump + c * unit, ahead);
    for (; c + W <= depth; c += W) add(c, whole, whole);
    const index rest = depth - c;
    const auto some = [&](const auto* p)
                          HEED_INLINE_LAMBDA { return widen_first<T, Arch>(p, rest); };
    if (rest > 0) add(c, some, some);
  }
  T sums[static_cast<std::size_t>(R * J)];
  sum_each<T, Arch>(acc, sums);
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int j = 0; j < J; ++j)
      s[r * s_pitch + j] = sums[r * J + j];
}

template <class T, class Arch, class S, int R>
HEED_NOINLINE void row_scores(const stored_rows& k, index keys, const T* q, index q_stride,
                              index depth, T* s, index s_pitch, std::intptr_t ahead) {
  constexpr int J = std::min(shape<T, Arch>::row_block / R, 8);
  index j = 0;
  const auto some = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
    for (; j + N <= keys; j += N)
      row_dots<T, Arch, S, R, N>(k.data + j * k.stride, k.stride, q, q_stride, depth, ahead, s + j,
                                 s_pitch);
  };
  some(std::integral_constant<int, J>{});
  some(std::integral_constant<int, 1>{});
}

// O of R queries and NV vectors of channels from `d` on; `rest` of them in the last vector.
template <class T, class Arch, class S, int R, int NV, bool Whole>
HEED_INLINE void row_sums(const unsigned char* v, index stride, index keys, const T* p,
                          index p_pitch, index d, index rest, std::intptr_t ahead, T* o,
                          index o_stride) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  constexpr index bytes = NV * W * index(sizeof(S));
  B acc[R][NV];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < NV; ++n) acc[r][n] =
      B(T(0));
  const auto part = [&](const auto* x, int n) HEED_INLINE_LAMBDA {
    if constexpr (Whole)
      return widen<T, Arch>(x + n * W);
    else
      return widen_first<T, Arch>(x + n * W, rest);
  };
  const unsigned char* row = v + d * index(sizeof(S));
  for (index j = 0; j < keys; ++j, row += stride) {
    if (ahead != 0) HEED_UNROLL
    for (index i = 0; i < bytes; i += 64) ask(row + i, ahead);
    B one[NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      one[n] = part(reinterpret_cast<const S*>(row), n);
      if constexpr (R > 1) keep(one[n]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      const B x(p[r * p_pitch + j]);
      HEED_UNROLL for (int n = 0; n < NV; ++n) {
        acc[r][n] = simd::fma(x, one[n], acc[r][n]);
        in_order(acc[r][n]);
      }
    }
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < NV; ++n) {
    T* const x = o + r * o_stride + d + n * W;
    const B sum = part(static_cast<const T*>(x), 0) + acc[r][n];
    if constexpr (Whole)
      simd::store(x, sum);
    else
      simd::store_first<T, Arch>(x, sum, rest);
  }
}

template <class T, class Arch, class S, int R>
HEED_NOINLINE void row_accumulate(const stored_rows& v, index keys, const T* p, index p_pitch,
                                  index channels, T* o, index o_stride, std::intptr_t ahead) {
  constexpr index W = width<T, Arch>;
  constexpr int NV = shape<T, Arch>::row_block / R;
  index d = 0;
  const auto some = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
    for (; d + N * W <= channels; d += N * W)
      row_sums<T, Arch, S, R, N, true>(v.data, v.stride, keys, p, p_pitch, d, W,
                                       ahead_at<S>(d, ahead), o, o_stride);
  };
  if constexpr (NV > 1) some(std::integral_constant<int, std::min(NV, 4)>{});
  some(std::integral_constant<int, 1>{});
  if (d < channels)
    row_sums<T, Arch, S, R, 1, false>(v.data, v.stride, keys, p, p_pitch, d, channels - d,
                                      ahead_at<S>(d, ahead), o, o_stride);
}

}  // namespace detail

template <class T, class Arch>
void row_scores(const stored_rows& k, index keys, const T* q, index q_stride, index rows,
                index depth, T* s, index s_pitch, std::intptr_t ahead = 0) {
  detail::for_stored_type<T>(k.type, [&]<class S>(S) {
    detail::for_row_blocks(rows, [&]<int R>(std::integral_constant<int, R>, index r) {
      detail::row_scores<T, Arch, S, R>(k, keys, q + r * q_stride, q_stride, depth, s + r * s_pitch,
                                        s_pitch, r == 0 ? ahead : 0);
    });
  });
}

template <class T, class Arch>
void row_accumulate(const stored_rows& v, index keys, const T* p, index p_pitch, index rows,
                    index channels, T* o, index o_stride, std::intptr_t ahead = 0) {
  detail::for_stored_type<T>(v.type, [&]<class S>(S) {
    detail::for_row_blocks(rows, [&]<int R>(std::integral_constant<int, R>, index r) {
      detail::row_accumulate<T, Arch, S, R>(v, keys, p + r * p_pitch, p_pitch, channels,
                                            o + r * o_stride, o_stride, r == 0 ? ahead : 0);
    });
  });
}

// `row_accumulate`, to the bit, where a weight of exactly 0 hides its value, NaN and infinity
// included. Slow.
template <class T, class Arch>
HEED_NOINLINE void row_accumulate_selected(const stored_rows& v, index keys, const T* p,
                                           index p_pitch, index rows, index channels, T* o,
                                           index o_stride) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  detail::for_stored_type<T>(v.type, [&]<class S>(S) {
    for (index r = 0; r < rows; ++r)
      for (index d = 0; d < channels; d += W) {
        const index some = std::min(W, channels - d);
        B sum(T(0));
        for (index j = 0; j < keys; ++j)
          if (const T weight = p[r * p_pitch + j]; weight != 0) {
            const auto* const row = reinterpret_cast<const S*>(v.data + j * v.stride) + d;
            sum = simd::fma(B(weight), widen_first<T, Arch>(row, some), sum);
          }
        T* const x = o + r * o_stride + d;
        simd::store_first<T, Arch>(x, widen_first<T, Arch>(x, some) + sum, some);
      }
  });
}

}  // namespace heed::simd
