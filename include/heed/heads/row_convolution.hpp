// SPDX-License-Identifier: BSL-1.0
// Convolutions of a block's scores over some earlier rows and over the keys around each, a kernel a
// head: what heads/multi_token does before and after its softmax.
//
//   to[j][r] = Σ_a Σ_b θ[a][b] x[j + ⌊c_k/2⌋ - b][r - a],   a < c_q, b < c_k
//
// Rows and keys that the block does not have, and what is masked, count as 0. A head is copied
// within a border of zeros; lanes are rows, so a tap is one unaligned load.
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/broadcast.hpp>

namespace heed::detail {

inline constexpr index most_taps = 256;

struct row_convolution {
  operand kernel;  // [1, H, c_q, c_k]

  index rows() const { return kernel.present() ? kernel.extent[2] : 1; }
  index keys() const { return kernel.present() ? kernel.extent[3] : 1; }
  index rows_before() const { return rows() - 1; }
  index scratch(index all, index pitch) const {
    return kernel.present() ? (all + keys() - 1) * (pitch + rows() - 1) : 0;
  }
  void check(const char* operation, const char* name, const problem_shape& shape) const {
    if (!kernel.present()) return;
    const extents& e = kernel.extent;
    if (e[0] != 1 || e[1] != shape.heads || e[2] < 1 || e[3] < 1 || e[2] * e[3] > most_taps)
      check::fail(operation,
                  std::string(name) + " must be [H,rows,keys] with at most 256 taps a head",
                  {{name, kernel}});
  }

  template <class Arch, class T>
  void forward(const row_scores<T>& x, const T* from, T* to, T* scratch) const {
    if (!kernel.present()) return copy<Arch>(x, from, to);
    for (index h = 0; h < x.heads; ++h) {
      T taps[most_taps];
      load(x.h + h, taps);
      bordered<Arch>(x, from + h * x.head_pitch, rows() - 1, keys() - 1 - keys() / 2, scratch);
      correlate<Arch>(x, taps, true, scratch, to + h * x.head_pitch);
    }
  }
  // d by what `forward` gave to that by what it took.
  template <class Arch, class T>
  void backward(const row_scores<T>& x, const T* d, T* to, T* scratch) const {
    if (!kernel.present()) return copy<Arch>(x, d, to);
    for (index h = 0; h < x.heads; ++h) {
      T taps[most_taps];
      load(x.h + h, taps);
      bordered<Arch>(x, d + h * x.head_pitch, 0, keys() / 2, scratch);
      correlate<Arch>(x, taps, false, scratch, to + h * x.head_pitch);
    }
  }
  // sum[h][a][b] += Σ d[j][r] x[j + ⌊c_k/2⌋ - b][r - a] over the own rows.
  template <class Arch, class T>
  void add_gradient(const row_scores<T>& x, const T* d, T* scratch, double* sum) const {
    for (index h = 0; h < x.heads; ++h) {
      bordered<Arch>(x, x.head(h), rows() - 1, keys() - 1 - keys() / 2, scratch);
      const index pitch = x.pitch + rows() - 1;
      for (index a = 0; a < rows(); ++a)
        for (index b = 0; b < keys(); ++b, ++sum)
          *sum += sum_of_products<Arch>(x, d + h * x.head_pitch, x.pitch,
                                        scratch + (keys() - 1 - b) * pitch + rows() - 1 - a, pitch);
    }
  }

 private:
  template <class T> void load(index h, T* taps) const {
    for (index a = 0; a < rows(); ++a)
      for (index b = 0; b < keys(); ++b)
        taps[a * keys() + b] = broadcast::element<T>(kernel, 0, h, a, b);
  }
  template <class Arch, class T> static void copy(const row_scores<T>& x, const T* from, T* to) {
    for (index i = 0; i < x.heads * x.head_pitch; ++i)
      to[i] = from[i] <= masked<T> / 2 ? T(0) : from[i];
  }
  // Keys and rows of zeros in front and behind.
  template <class Arch, class T>
  void bordered(const row_scores<T>& x, const T* from, index lanes, index before, T* to) const {
    const index pitch = x.pitch + rows() - 1;
    std::fill_n(to, (x.keys + keys() - 1) * pitch, T(0));
    using B = simd::batch<T, Arch>;
    const B lowest(masked<T> / 2), zero(T(0));
    for (index j = 0; j < x.keys; ++j)
      for (index v = 0; v < x.pitch; v += simd::width<T, Arch>) {
        const B s = simd::load<T, Arch>(from + j * x.pitch + v);
        simd::store(to + (j + before) * pitch + lanes + v, B(simd::select(s <= lowest, zero, s)));
      }
  }
  // Taps count from the last row and key of the border where `back`, else from the first.
  template <class Arch, class T>
  void correlate(const row_scores<T>& x, const T* taps, bool back, const T* from, T* to) const {
    index j = 0;
    for (; j + 4 <= x.keys; j += 4) correlate_keys<Arch, 4>(x, taps, back, from, j, to);
    for (; j < x.keys; ++j) correlate_keys<Arch, 1>(x, taps, back, from, j, to);
  }
  // Some keys side by side hide the latency of their sums.
  template <class Arch, int N, class T>
  void correlate_keys(const row_scores<T>& x, const T* taps, bool back, const T* from, index j,
                      T* to) const {
    using B = simd::batch<T, Arch>;
    const index pitch = x.pitch + rows() - 1, wide = keys(), high = rows();
    for (index v = 0; v < x.pitch; v += simd::width<T, Arch>) {
      B sum[N];
      for (B& each : sum) each = B(T(0));
      for (index a = 0; a < high; ++a)
        for (index b = 0; b < wide; ++b) {
          const index key = back ? wide - 1 - b : b, row = back ? high - 1 - a : a;
          const T* const at = from + (j + key) * pitch + v + row;
          const B tap(taps[a * wide + b]);
          HEED_UNROLL for (int i = 0; i < N; ++i) sum[i] =
              simd::fma(tap, simd::load<T, Arch>(at + i * pitch), sum[i]);
        }
      HEED_UNROLL for (int i = 0; i < N; ++i) simd::store(to + (j + i) * x.pitch + v, sum[i]);
    }
  }
};

}  // namespace heed::detail
