// SPDX-License-Identifier: BSL-1.0
// Rows cut into strips of up to three vectors of channels, strip after strip, each [row][channel]:
// what the products of the backward pass read and write. A strip is walked without the stride of a
// whole row, which for 128 channels would hit the same cache sets again and again.
#pragma once

#include <algorithm>
#include <heed/simd/tile.hpp>

namespace heed::detail {

template <class T, class Arch> struct columns {
  static constexpr index W = simd::shape<T, Arch>::lanes, widest = simd::shape<T, Arch>::vectors;

  index channels = 0;

  index vectors() const { return (channels + W - 1) / W; }
  index width() const { return vectors() * W; }  // channels of all strips, the last ones zero

  // f(first channel, vectors) for each strip.
  template <class F> void for_each(F f) const {
    const index all = vectors(), strips = (all + widest - 1) / widest;
    for (index i = 0, first = 0; i < strips; ++i) {
      const index last = all * (i + 1) / strips;
      f(first * W, last - first);
      first = last;
    }
  }

  // Rows [row, row + count) of a block of `rows` rows.
  void pack(const T* from, index stride, index count, T* block, index rows, index row) const {
    for_each([&](index first, index vectors) {
      const index pitch = vectors * W, whole = std::min(vectors, (channels - first) / W);
      T* to = block + first * rows + row * pitch;
      for (index i = 0; i < count; ++i, to += pitch) {
        const T* const x = from + i * stride + first;
        for (index v = 0; v < whole; ++v) simd::store(to + v * W, simd::load<T, Arch>(x + v * W));
        for (index c = whole * W; c < pitch; ++c) to[c] = first + c < channels ? x[c] : T(0);
      }
    });
  }
  // One row; `add` sums onto `to`. Both have `width` channels.
  void unpack(const T* block, index rows, index row, T* to, bool add = false) const {
    using B = simd::batch<T, Arch>;
    for_each([&](index first, index vectors) {
      const T* const from = block + first * rows + row * vectors * W;
      for (index c = 0; c < vectors * W; c += W) {
        const B x = simd::load<T, Arch>(from + c);
        simd::store(to + first + c, add ? B(simd::load<T, Arch>(to + first + c) + x) : x);
      }
    });
  }
};

// C[c_row + j] += Σ_i A[j][i] B[b_row + i], j < m, i < n: A rows of `stride`, B a block of b_rows
// rows, C one of c_rows.
template <class T, class Arch>
void add_rows(const columns<T, Arch>& c, const T* a, index stride, index m, index n, const T* b,
              index b_rows, index b_row, T* to, index c_rows, index c_row) {
  c.for_each([&](index first, index vectors) {
    const index pitch = vectors * c.W;
    simd::scores<T, Arch>(vectors, a, stride, m, b + first * b_rows + b_row * pitch, pitch, n,
                          to + first * c_rows + c_row * pitch, pitch, true);
  });
}

// C[c_row + i] += Σ_j A[j][i] B[b_row + j], i < n, j < m.
template <class T, class Arch>
void add_rows_transposed(const columns<T, Arch>& c, const T* a, index stride, index m, index n,
                         const T* b, index b_rows, index b_row, T* to, index c_rows, index c_row) {
  c.for_each([&](index first, index vectors) {
    const index pitch = vectors * c.W;
    simd::accumulate<T, Arch>(vectors, b + first * b_rows + b_row * pitch, pitch, m, a, stride, 4,
                              n, to + first * c_rows + c_row * pitch);
  });
}

// The same two where a factor of exactly 0 hides its row, NaN and infinity included.
template <class T, class Arch>
HEED_NOINLINE void add_rows_selected(const columns<T, Arch>& c, const T* a, index stride, index m,
                                     index n, const T* b, index b_rows, index b_row, T* to,
                                     index c_rows, index c_row, bool transposed) {
  c.for_each([&](index first, index vectors) {
    const index pitch = vectors * c.W;
    for (index j = 0; j < m; ++j)
      for (index i = 0; i < n; ++i) {
        const T factor = a[j * stride + i];
        if (factor == T(0)) continue;
        const T* x = b + first * b_rows + (b_row + (transposed ? j : i)) * pitch;
        T* y = to + first * c_rows + (c_row + (transposed ? i : j)) * pitch;
        for (index l = 0; l < pitch; ++l) y[l] += factor * x[l];
      }
  });
}

}  // namespace heed::detail
