// SPDX-License-Identifier: BSL-1.0
// The inner loops of local/: lanes are channels, R positions of a line next to each other share
// what they can. Weights lie as w[tap][channel], the same for all positions, or as
// w[tap][position], the same for all channels.
#pragma once

#include <algorithm>
#include <heed/simd/shape.hpp>
#include <heed/simd/sum_each.hpp>

namespace heed::detail {

// Taps [first, last) that lie in the grid, by line and column.
struct tap_range {
  index line = 0, lines = 0, column = 0, columns = 0;
};

// Offsets in elements, from a tap or position to the next one.
template <class T> struct mix_rows {
  const T* w =
      nullptr;  // of the first tap of the first position, `w_at` on, as x: it may be outside
  index w_at = 0, w_line = 0, w_column = 0, w_step = 0;  // the last: of the next position
  const T* x = nullptr;
  index x_at = 0, x_line = 0, x_column = 0;
  T* y = nullptr;
  index y_column = 0;
  const T* bias = nullptr;  // [channel]
  index channels = 0;       // whole vectors
  bool add = false;         // to y
};

struct channel_weights {
  template <class T, class Arch> static simd::batch<T, Arch> of(const T* w, index, index channel) {
    simd::batch<T, Arch> weight = simd::load<T, Arch>(w + channel);
    simd::keep(weight);
    return weight;
  }
};
struct position_weights {
  template <class T, class Arch> static simd::batch<T, Arch> of(const T* w, index position, index) {
    return simd::batch<T, Arch>(w[position]);
  }
};

// R positions from `at` on, V vectors of channels from `c` on.
template <class T, class Arch, class Weights, int R, int V>
HEED_INLINE void mix_block(const mix_rows<T>& m, const tap_range& taps, index at, index c) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B sum[R][V];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int v = 0; v < V; ++v) {
    sum[r][v] = simd::load<T, Arch>(m.bias + c + v * W);
    if (m.add) sum[r][v] = sum[r][v] + simd::load<T, Arch>(m.y + (at + r) * m.y_column + c + v * W);
  }
  for (index i = taps.line; i < taps.lines; ++i) {
    const T* w = m.w + (m.w_at + i * m.w_line + taps.column * m.w_column);
    const T* x = m.x + (m.x_at + i * m.x_line + (at + taps.column) * m.x_column + c);
    for (index j = taps.column; j < taps.columns; ++j, w += m.w_column, x += m.x_column)
      HEED_UNROLL for (int v = 0; v < V; ++v) {
        if constexpr (std::is_same_v<Weights, channel_weights>) {
          const B weight = Weights::template of<T, Arch>(w, 0, c + v * W);
          HEED_UNROLL for (int r = 0; r < R; ++r) sum[r][v] =
              simd::fma(weight, simd::load<T, Arch>(x + r * m.x_column + v * W), sum[r][v]);
        } else {
          HEED_UNROLL for (int r = 0; r < R; ++r) sum[r][v] =
              simd::fma(Weights::template of<T, Arch>(w, (at + r) * m.w_step, 0),
                        simd::load<T, Arch>(x + r * m.x_column + v * W), sum[r][v]);
        }
      }
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int v = 0; v < V; ++v)
      simd::store(m.y + (at + r) * m.y_column + c + v * W, sum[r][v]);
}
template <class T, class Arch, class Weights, int R>
HEED_INLINE void mix_channels(const mix_rows<T>& m, const tap_range& taps, index at, index c) {
  constexpr index W = simd::width<T, Arch>;
  for (; c + 4 * W <= m.channels; c += 4 * W) mix_block<T, Arch, Weights, R, 4>(m, taps, at, c);
  for (; c < m.channels; c += W) mix_block<T, Arch, Weights, R, 1>(m, taps, at, c);
}

// Positions [at, end) that have all taps of the range. Eight sums at once hide the latency: of
// eight positions where they share the weight, of fewer where vectors of channels do.
template <class T, class Arch, class Weights>
HEED_NOINLINE void mix_line(const mix_rows<T>& m, const tap_range& taps, index at, index end) {
  constexpr index W = simd::width<T, Arch>;
  if constexpr (std::is_same_v<Weights, position_weights>) {
    const index wide = m.channels / (4 * W) * 4 * W;
    // Kernels that lie apart, a position's beside those of other channels, are asked for early.
    const index ahead = m.w_column == 1 && m.w_step > 1 ? taps.columns - taps.column : 0;
    for (; at + 8 <= end; at += 8) {
      for (index r = 8; r < 16 && ahead > 0; ++r)
        for (index i = taps.line; i < taps.lines; ++i)
          simd::prefetch(m.w + (m.w_at + i * m.w_line + (at + r) * m.w_step),
                         ahead * index(sizeof(T)));
      for (index r = 0; r < 8 && wide > 0; r += 2)
        for (index c = 0; c < wide; c += 4 * W)
          mix_block<T, Arch, Weights, 2, 4>(m, taps, at + r, c);
      for (index c = wide; c < m.channels; c += W)
        mix_block<T, Arch, Weights, 8, 1>(m, taps, at, c);
    }
  } else {
    for (; at + 8 <= end; at += 8)
      for (index c = 0; c < m.channels; c += W) mix_block<T, Arch, Weights, 8, 1>(m, taps, at, c);
    for (; at + 4 <= end; at += 4)
      for (index c = 0; c < m.channels; c += W) mix_block<T, Arch, Weights, 4, 1>(m, taps, at, c);
  }
  for (; at < end; ++at) mix_channels<T, Arch, Weights, 1>(m, taps, at, 0);
}

// sum[tap][channel] += Σ_i e_i x_{i + tap} for R taps of a line, each `pitch` from the last.
template <class T, class Arch, int R, int V>
HEED_INLINE void add_products(const T* e, index e_column, const T* x, index x_column, index count,
                              T* sum, index pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B s[R][V];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int v = 0; v < V; ++v) s[r][v] =
      simd::load<T, Arch>(sum + r * pitch + v * W);
  for (index i = 0; i < count; ++i, e += e_column, x += x_column)
    HEED_UNROLL for (int v = 0; v < V; ++v) {
      B reached = simd::load<T, Arch>(e + v * W);
      simd::keep(reached);
      HEED_UNROLL for (int r = 0; r < R; ++r) s[r][v] =
          simd::fma(reached, simd::load<T, Arch>(x + r * x_column + v * W), s[r][v]);
    }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int v = 0; v < V; ++v)
      simd::store(sum + r * pitch + v * W, s[r][v]);
}
template <class T, class Arch, int R>
HEED_NOINLINE void add_taps(const T* e, index e_column, const T* x, index x_column, index count,
                            index channels, T* sum, index pitch) {
  constexpr index W = simd::width<T, Arch>;
  constexpr int V = simd::shape<T, Arch>::registers == 32 ? 4 : 2;
  index c = 0;
  for (; c + V * W <= channels; c += V * W)
    add_products<T, Arch, R, V>(e + c, e_column, x + c, x_column, count, sum + c, pitch);
  for (; c < channels; c += W)
    add_products<T, Arch, R, 1>(e + c, e_column, x + c, x_column, count, sum + c, pitch);
}

// sum[channel] += Σ_i e_i
template <class T, class Arch>
HEED_NOINLINE void add_rows(const T* e, index e_column, index count, index channels, T* sum) {
  for (index c = 0; c < channels; c += simd::width<T, Arch>) {
    simd::batch<T, Arch> all = simd::load<T, Arch>(sum + c);
    for (index i = 0; i < count; ++i) all = all + simd::load<T, Arch>(e + i * e_column + c);
    simd::store(sum + c, all);
  }
}

// d[j pitch] += e · x_j for `taps` rows next to each other.
template <class T, class Arch>
HEED_NOINLINE void add_dots(const T* e, const T* x, index x_column, index taps, index channels,
                            T* d, index pitch) {
  using B = simd::batch<T, Arch>;
  for (index j = 0; j < taps; j += 4) {
    B sum[4] = {B(T(0)), B(T(0)), B(T(0)), B(T(0))};
    const T* row[4];  // beyond the last tap the last one once more, whose sum is left out
    HEED_UNROLL for (index r = 0; r < 4; ++r) row[r] = x + std::min(j + r, taps - 1) * x_column;
    for (index c = 0; c < channels; c += simd::width<T, Arch>) {
      const B reached = simd::load<T, Arch>(e + c);
      HEED_UNROLL for (int r = 0; r < 4; ++r) sum[r] =
          simd::fma(reached, simd::load<T, Arch>(row[r] + c), sum[r]);
    }
    T total[4];
    simd::sum_each<T, Arch>(sum, total);
    for (index r = 0; r < std::min<index>(4, taps - j); ++r) d[(j + r) * pitch] += total[r];
  }
}

}  // namespace heed::detail
