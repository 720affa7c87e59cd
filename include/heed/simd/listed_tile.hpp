// SPDX-License-Identifier: BSL-1.0
// The micro-kernels of `tile.hpp` for rows anywhere: key or value j is the row at[j], `stride`
// elements a row.
//
//   listed_scores      S[j][lane]  = sum_c rows[at[j]][c] * Q[c][lane]      j < keys, c < depth
//   listed_accumulate  O[d][lane] += sum_j P[j][lane] * rows[at[j]][d]      j < keys, d < channels
//
// Cost: one multiplication of addresses a row more than rows side by side take. One vector alone is
// bound by its broadcasts, 8 and a load for 8 FMA; two and three are bound by FMA.
#pragma once

#include <heed/simd/tile.hpp>

namespace heed::simd {

namespace detail {

template <class T, class Arch, int MR, int NV, int Most = 2>
HEED_INLINE void listed_scores_rows(const T* const (&key)[MR], index first, index end, const T* q,
                                    index pitch, T* s, bool add) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  constexpr int parts = shape<T, Arch>::registers < 2 * MR * NV + NV + 1 ? 1 : Most;
  const index half = end - first < parted_depth || Most == 1 ? end : first + (end - first) / 8 * 4;
  if constexpr (parts < Most)
    if (half < end) {
      listed_scores_rows<T, Arch, MR, NV, 1>(key, first, half, q, pitch, s, add);
      return listed_scores_rows<T, Arch, MR, NV, 1>(key, half, end, q, pitch, s, true);
    }
  B acc[parts][MR][NV];
  HEED_UNROLL for (int part = 0; part < parts; ++part) {
    auto& sum = acc[part];
    HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] =
        B(T(0));
    HEED_UNROLL_4
    for (index c = part == 0 ? first : half, last = part == 0 ? half : end; c < last; ++c) {
      B lane[NV];
      HEED_UNROLL for (int v = 0; v < NV; ++v) {
        lane[v] = simd::load<T, Arch>(q + c * pitch + v * W);
        keep(lane[v]);
      }
      HEED_UNROLL for (int i = 0; i < MR; ++i) {
        const B one(key[i][c]);
        HEED_UNROLL for (int v = 0; v < NV; ++v) {
          sum[i][v] = simd::fma(one, lane[v], sum[i][v]);
          in_order(sum[i][v]);
        }
      }
    }
  }
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) {
    T* const x = s + i * pitch + v * W;
    const B all = parts == 1 ? acc[0][i][v] : B(acc[0][i][v] + acc[parts - 1][i][v]);
    simd::store(x, add ? B(simd::load<T, Arch>(x) + all) : all);
  }
}

template <class T, class Arch, int NV>
HEED_NOINLINE void listed_scores(const T* rows, index stride, const index* at, index keys,
                                 const T* q, index pitch, index depth, T* s) {
  constexpr int MR = NV == 1 ? 2 * shape<T, Arch>::rows : shape<T, Arch>::rows;
  const auto some = [&]<int N>(std::integral_constant<int, N>, index j) HEED_INLINE_LAMBDA {
    const T* key[N];
    HEED_UNROLL for (int i = 0; i < N; ++i) {
      key[i] = rows + at[j + i] * stride;
      keep_address(key[i]);
    }
    listed_scores_rows<T, Arch, N, NV>(key, 0, depth, q, pitch, s + j * pitch, false);
  };
  index j = 0;
  for (; j + MR <= keys; j += MR) some(std::integral_constant<int, MR>{}, j);
  // The last rows once more rather than one by one: a row alone waits for its own sums.
  if (j < keys && keys >= MR) return some(std::integral_constant<int, MR>{}, keys - MR);
  for (; j < keys; ++j) some(std::integral_constant<int, 1>{}, j);
}

template <class T, class Arch, int MR, int NV>
HEED_INLINE void listed_accumulate_rows(const T* p, index pitch, index keys, const T* rows,
                                        index stride, const index* at, T* o) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B acc[MR][NV];
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int n = 0; n < NV; ++n) acc[i][n] =
      B(T(0));
  for (index j = 0; j < keys; ++j) {
    const T* v = rows + at[j] * stride;
    keep_address(v);
    B lane[NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      lane[n] = simd::load<T, Arch>(p + j * pitch + n * W);
      keep(lane[n]);
    }
    HEED_UNROLL for (int i = 0; i < MR; ++i) {
      const B one(v[i]);
      HEED_UNROLL for (int n = 0; n < NV; ++n) {
        acc[i][n] = simd::fma(one, lane[n], acc[i][n]);
        in_order(acc[i][n]);
      }
    }
  }
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int n = 0; n < NV; ++n) {
    T* x = o + i * pitch + n * W;
    simd::store(x, B(simd::load<T, Arch>(x) + acc[i][n]));
  }
}

template <class T, class Arch, int NV>
HEED_NOINLINE void listed_accumulate(const T* p, index pitch, index keys, const T* rows,
                                     index stride, const index* at, index channels, T* o) {
  constexpr int MR = shape<T, Arch>::rows;
  index d = 0;
  const auto some = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
    for (; d + N <= channels; d += N)
      listed_accumulate_rows<T, Arch, N, NV>(p, pitch, keys, rows + d, stride, at, o + d * pitch);
  };
  if constexpr (NV == 1 && shape<T, Arch>::registers == 32)
    some(std::integral_constant<int, 4 * MR>{});
  if constexpr (NV == 1) some(std::integral_constant<int, 2 * MR>{});
  some(std::integral_constant<int, MR>{});
  some(std::integral_constant<int, 1>{});
}

}  // namespace detail

// `vectors` is 1, 2 or 3.
template <class T, class Arch>
void listed_scores(index vectors, const T* rows, index stride, const index* at, index keys,
                   const T* q, index pitch, index depth, T* s) {
  detail::with_constant<3>(vectors, [&]<int NV>(std::integral_constant<int, NV>) {
    detail::listed_scores<T, Arch, NV>(rows, stride, at, keys, q, pitch, depth, s);
  });
}

template <class T, class Arch>
void listed_accumulate(index vectors, const T* p, index pitch, index keys, const T* rows,
                       index stride, const index* at, index channels, T* o) {
  detail::with_constant<3>(vectors, [&]<int NV>(std::integral_constant<int, NV>) {
    detail::listed_accumulate<T, Arch, NV>(p, pitch, keys, rows, stride, at, channels, o);
  });
}

// The same where a weight of exactly 0 hides its value, NaN and infinity included; no attempt at
// speed.
template <class T, class Arch>
HEED_NOINLINE void listed_accumulate_selected(index vectors, const T* p, index pitch, index keys,
                                              const T* rows, index stride, const index* at,
                                              index channels, T* o) {
  detail::sum_selected<T, Arch>(
      vectors, p, pitch, keys, channels, [=](index j, index d) { return rows[at[j] * stride + d]; },
      o);
}

}  // namespace heed::simd
