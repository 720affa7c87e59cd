// SPDX-License-Identifier: BSL-1.0
// The two micro-kernels of the tile loop. `tile_scalar.hpp` states the same contracts in plain
// loops.
//
// A panel holds NV vectors of queries side by side: element (row, lane) lies at row * pitch + lane.
//   scores      S[j][lane]  = sum_c key[j * stride + c] * Q[c][lane]       j < keys, c < depth
//               with a pitch of its own; S[j][lane] += where `add` is set
//   accumulate  O[d][lane] += sum_j V(j, d) * P[j][lane]                   j < keys, d < channels
// V(j, d) = v[(d / 4) * block + j * stride + d % 4]: natural rows have block = 4, values packed by
// `pack_values` have stride = 4. Nothing is assumed about alignment; nothing outside the named
// elements is read; outputs do not overlap inputs. Any keys, depth, channels >= 0.
//
// Cost: 4 × 3 vectors is 12 FMA for 7 loads, bound by FMA. Each kernel is a function of its own:
// inlined into the tile loop, g++ lost 20 to 30 points of peak.
#pragma once

#include <heed/simd/shape.hpp>
#include <heed/simd/with_constant.hpp>

namespace heed::simd {

namespace detail {

// From so many channels on they are summed in two parts.
inline constexpr index parted_depth = 64;

// The channels [0, depth) in one part where that is 1, in halves where it is 2: both in registers
// where there are enough, else the second onto S.
template <class T, class Arch, int MR, int NV, int Most = 2>
HEED_INLINE void scores_rows(const T* key, index stride, const T* q, index pitch, index depth, T* s,
                             index s_pitch, bool add) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  constexpr int parts = shape<T, Arch>::registers < 2 * MR * NV + NV + 1 ? 1 : Most;
  const index half = depth < parted_depth || Most == 1 ? depth : depth / 8 * 4;
  if constexpr (parts < Most)
    if (half < depth) {
      scores_rows<T, Arch, MR, NV, 1>(key, stride, q, pitch, half, s, s_pitch, add);
      return scores_rows<T, Arch, MR, NV, 1>(key + half, stride, q + half * pitch, pitch,
                                             depth - half, s, s_pitch, true);
    }
  B acc[parts][MR][NV];
  HEED_UNROLL for (int part = 0; part < parts; ++part) {
    auto& sum = acc[part];
    HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] =
        B(T(0));
    HEED_UNROLL_4
    for (index c = part * half, end = part == 0 ? half : depth; c < end; ++c) {
      B lane[NV];
      HEED_UNROLL for (int v = 0; v < NV; ++v) {
        lane[v] = simd::load<T, Arch>(q + c * pitch + v * W);
        keep(lane[v]);
      }
      HEED_UNROLL for (int i = 0; i < MR; ++i) {
        const B one(key[i * stride + c]);
        HEED_UNROLL for (int v = 0; v < NV; ++v) {
          sum[i][v] = simd::fma(one, lane[v], sum[i][v]);
          in_order(sum[i][v]);
        }
      }
    }
  }
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) {
    T* const x = s + i * s_pitch + v * W;
    const B all = parts == 1 ? acc[0][i][v] : B(acc[0][i][v] + acc[parts - 1][i][v]);
    simd::store(x, add ? B(simd::load<T, Arch>(x) + all) : all);
  }
}

template <class T, class Arch, int MR, int NV>
HEED_INLINE void accumulate_rows(const T* p, index pitch, index keys, const T* v, index stride,
                                 index block, T* o) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B acc[MR][NV];
  // From zero, and onto O at the end: rounding errors grow with the tile, not with the row.
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int n = 0; n < NV; ++n) acc[i][n] =
      B(T(0));
  HEED_UNROLL_4
  for (index j = 0; j < keys; ++j) {
    B lane[NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      lane[n] = simd::load<T, Arch>(p + j * pitch + n * W);
      keep(lane[n]);
    }
    HEED_UNROLL for (int i = 0; i < MR; ++i) {
      const B one(v[i / 4 * block + j * stride + i % 4]);
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
HEED_NOINLINE void scores(const T* key, index stride, index keys, const T* q, index pitch,
                          index depth, T* s, index s_pitch, bool add) {
  constexpr int MR = shape<T, Arch>::rows;
  index j = 0;
  const auto rows = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
    for (; j + N <= keys; j += N)
      scores_rows<T, Arch, N, NV>(key + j * stride, stride, q, pitch, depth, s + j * s_pitch,
                                  s_pitch, add);
  };
  // One vector alone needs twice the rows to hide the latency of its multiply-adds.
  if constexpr (NV == 1) rows(std::integral_constant<int, 2 * MR>{});
  rows(std::integral_constant<int, MR>{});
  rows(std::integral_constant<int, 1>{});
}

template <class T, class Arch, int NV>
HEED_NOINLINE void accumulate(const T* p, index pitch, index keys, const T* v, index stride,
                              index block, index channels, T* o) {
  constexpr int MR = shape<T, Arch>::rows;
  index d = 0;
  const auto rows = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
    for (; d + N <= channels; d += N)
      accumulate_rows<T, Arch, N, NV>(p, pitch, keys, v + d / 4 * block + d % 4, stride, block,
                                      o + d * pitch);
  };
  if constexpr (NV == 1) rows(std::integral_constant<int, 2 * MR>{});
  rows(std::integral_constant<int, MR>{});
  rows(std::integral_constant<int, 1>{});
}

// O[d][lane] += sum_j value(j, d) * P[j][lane] over the weights that are not 0.
template <class T, class Arch, class Value>
void sum_selected(index vectors, const T* p, index pitch, index keys, index channels,
                  const Value& value, T* o) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  for (index d = 0; d < channels; ++d)
    for (index lane = 0; lane < vectors * W; lane += W) {
      B sum(T(0));
      for (index j = 0; j < keys; ++j) {
        const B weight = simd::load<T, Arch>(p + j * pitch + lane);
        sum = simd::select(weight == B(T(0)), sum, simd::fma(B(value(j, d)), weight, sum));
      }
      T* x = o + d * pitch + lane;
      simd::store(x, B(simd::load<T, Arch>(x) + sum));
    }
}

}  // namespace detail

// `vectors` is 1, 2 or 3. Many channels are summed in two parts: where one key takes nearly all the
// weight, the error of its score is that of the output.
template <class T, class Arch>
void scores(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
            index depth, T* s, index s_pitch, bool add = false) {
  detail::with_constant<3>(vectors, [&]<int NV>(std::integral_constant<int, NV>) {
    detail::scores<T, Arch, NV>(key, stride, keys, q, pitch, depth, s, s_pitch, add);
  });
}
template <class T, class Arch>
void scores(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
            index depth, T* s) {
  scores<T, Arch>(vectors, key, stride, keys, q, pitch, depth, s, pitch);
}

template <class T, class Arch>
void accumulate(index vectors, const T* p, index pitch, index keys, const T* v, index stride,
                index block, index channels, T* o) {
  detail::with_constant<3>(vectors, [&]<int NV>(std::integral_constant<int, NV>) {
    detail::accumulate<T, Arch, NV>(p, pitch, keys, v, stride, block, channels, o);
  });
}

// `accumulate` where a weight of exactly 0 hides its value, NaN and infinity included. For the rare
// tile that is partly masked and holds a non-finite value; no attempt at speed.
template <class T, class Arch>
HEED_NOINLINE void accumulate_selected(index vectors, const T* p, index pitch, index keys,
                                       const T* v, index stride, index block, index channels,
                                       T* o) {
  detail::sum_selected<T, Arch>(
      vectors, p, pitch, keys, channels,
      [=](index j, index d) { return v[d / 4 * block + j * stride + d % 4]; }, o);
}

// O[d][lane] = 0
template <class T, class Arch>
HEED_NOINLINE void clear(index vectors, index pitch, index channels, T* o) {
  constexpr index W = width<T, Arch>;
  for (index d = 0; d < channels; ++d)
    for (index n = 0; n < vectors; ++n) simd::store(o + d * pitch + n * W, batch<T, Arch>(T(0)));
}

// O[d][lane] *= factor[lane]
template <class T, class Arch>
HEED_NOINLINE void rescale(index vectors, const T* factor, index pitch, index channels, T* o) {
  constexpr index W = width<T, Arch>;
  for (index n = 0; n < vectors; ++n) {
    const batch<T, Arch> f = simd::load<T, Arch>(factor + n * W);
    for (index d = 0; d < channels; ++d) {
      T* p = o + d * pitch + n * W;
      simd::store(p, batch<T, Arch>(simd::load<T, Arch>(p) * f));
    }
  }
}

}  // namespace heed::simd
