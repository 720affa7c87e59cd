// SPDX-License-Identifier: BSL-1.0
// The two micro-kernels of driver `sliding`: lanes are consecutive places of a grid, and what a
// lane meets lies at the same distance for all of them, so tap t of a packed row is one unaligned
// load. `order` moves its lanes where those at the end of a row meet others.
//
//   slide_scores      S_r[t][lane]  = Σ_c Q_r[c][lane] · row[c][order(lane) + t]     t < taps
//   slide_accumulate  O_r[c][lane] += Σ_j Σ_t P_r[j · taps + t][lane] · row_j[c][order(lane) + t]
//
// Q_r and O_r are [channel][W], S_r and P_r [tap][W]; rows of the grid are [channel][pitch] and
// have `taps + W - 1` numbers a channel that may be read. `r` counts up to three rows of queries
// that share the loads: 3 × 7 vectors are 21 FMA for 10 loads.
#pragma once

#include <heed/simd/pick.hpp>
#include <heed/simd/shape.hpp>
#include <heed/simd/with_constant.hpp>

namespace heed::simd {

inline constexpr int sliding_rows = 3;

namespace detail {

struct straight {
  template <class B> HEED_INLINE B operator()(const B& x) const { return x; }
};

template <class T, class Arch, int R, int N, class Order>
HEED_NOINLINE void slide_scores(const T* const* q, const T* row, index pitch, index depth,
                                const Order& order, T* const* s) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  const T* query[R];
  HEED_UNROLL for (int r = 0; r < R; ++r) query[r] = q[r];
  B acc[R][N];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int t = 0; t < N; ++t) acc[r][t] =
      B(T(0));
  for (index c = 0; c < depth; ++c, row += pitch) {
    B lane[R];
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      lane[r] = simd::load<T, Arch>(query[r] + c * W);
      keep(lane[r]);
    }
    HEED_UNROLL for (int t = 0; t < N; ++t) {
      B x = order(simd::load<T, Arch>(row + t));
      keep(x);
      HEED_UNROLL for (int r = 0; r < R; ++r) {
        acc[r][t] = simd::fma(x, lane[r], acc[r][t]);
        in_order(acc[r][t]);
      }
    }
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int t = 0; t < N; ++t)
      simd::store(s[r] + t * W, acc[r][t]);
}

template <class T, class Arch, int R, int N, class Order>
HEED_NOINLINE void slide_accumulate(const T* const* p, const T* const* rows, index count,
                                    index taps, index pitch, index channel, const Order& order,
                                    T* const* o) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  const T* weight[R];
  HEED_UNROLL for (int r = 0; r < R; ++r) weight[r] = p[r];
  B acc[R][N];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < N; ++n) acc[r][n] =
      B(T(0));
  for (index j = 0; j < count; ++j) {
    const T* row = rows[j] + channel * pitch;
    for (index t = 0; t < taps; ++t, ++row) {
      B lane[R];
      HEED_UNROLL for (int r = 0; r < R; ++r) {
        lane[r] = simd::load<T, Arch>(weight[r]);
        keep(lane[r]);
        weight[r] += W;
      }
      HEED_UNROLL for (int n = 0; n < N; ++n) {
        B x = order(simd::load<T, Arch>(row + n * pitch));
        keep(x);
        HEED_UNROLL for (int r = 0; r < R; ++r) {
          acc[r][n] = simd::fma(x, lane[r], acc[r][n]);
          in_order(acc[r][n]);
        }
      }
    }
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < N; ++n) {
    T* const x = o[r] + (channel + n) * W;
    simd::store(x, B(simd::load<T, Arch>(x) + acc[r][n]));
  }
}

}  // namespace detail

// `count` rows of queries, one row of keys. `order` is null where the lanes need none.
template <class T, class Arch>
void slide_scores(index count, const T* const* q, const T* row, index pitch, index depth,
                  index taps, const picker<T, Arch>* order, T* const* s) {
  constexpr int most = shape<T, Arch>::sliding_taps;
  const index parts = (taps + most - 1) / most;
  T* to[sliding_rows];
  for (index part = 0; part < parts; ++part) {
    const index first = taps * part / parts, some = taps * (part + 1) / parts - first;
    for (index r = 0; r < count; ++r) to[r] = s[r] + first * width<T, Arch>;
    detail::with_constant<sliding_rows>(count, [&](auto rows) {
      detail::with_constant<most>(some, [&](auto n) {
        if (order)
          detail::slide_scores<T, Arch, rows(), n()>(q, row + first, pitch, depth, *order, to);
        else
          detail::slide_scores<T, Arch, rows(), n()>(q, row + first, pitch, depth,
                                                     detail::straight{}, to);
      });
    });
  }
}

// One row of queries and one of keys; a weight of exactly 0 hides its value, NaN and infinity
// included. No attempt at speed.
template <class T, class Arch>
HEED_NOINLINE void slide_accumulate_selected(const T* p, const T* row, index taps, index pitch,
                                             index channels, const picker<T, Arch>* order, T* o) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  for (index c = 0; c < channels; ++c) {
    B sum(T(0));
    for (index t = 0; t < taps; ++t) {
      const B weight = simd::load<T, Arch>(p + t * W);
      B value = simd::load<T, Arch>(row + c * pitch + t);
      if (order) value = (*order)(value);
      sum = simd::select(weight == B(T(0)), sum, simd::fma(value, weight, sum));
    }
    simd::store(o + c * W, B(simd::load<T, Arch>(o + c * W) + sum));
  }
}

// `count` rows of queries, `keys` rows of keys at `rows`. `selected`: as the function above.
template <class T, class Arch>
void slide_accumulate(index count, const T* const* p, const T* const* rows, index keys, index taps,
                      index pitch, index channels, const picker<T, Arch>* order, bool selected,
                      T* const* o) {
  if (selected) {
    for (index r = 0; r < count; ++r)
      for (index j = 0; j < keys; ++j)
        slide_accumulate_selected<T, Arch>(p[r] + j * taps * width<T, Arch>, rows[j], taps, pitch,
                                           channels, order, o[r]);
    return;
  }
  constexpr int most = shape<T, Arch>::sliding_channels;
  detail::with_constant<sliding_rows>(count, [&](auto r) {
    const auto some = [&](auto n, index channel) {
      if (order)
        detail::slide_accumulate<T, Arch, r(), n()>(p, rows, keys, taps, pitch, channel, *order, o);
      else
        detail::slide_accumulate<T, Arch, r(), n()>(p, rows, keys, taps, pitch, channel,
                                                    detail::straight{}, o);
    };
    index c = 0;
    for (; c + most <= channels; c += most) some(std::integral_constant<int, most>{}, c);
    for (; c < channels; ++c) some(std::integral_constant<int, 1>{}, c);
  });
}

}  // namespace heed::simd
