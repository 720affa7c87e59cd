// SPDX-License-Identifier: BSL-1.0
// Sums over heads of the scores of a block: to^h = Σ_h' M[h,h'] x^h', as a product of a small
// matrix and of lanes, and the gradient of such a matrix.
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/broadcast.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/tile.hpp>

namespace heed::detail {

// More heads than this are refused: matrices and a few vectors of all heads lie on the stack.
inline constexpr index most_mixed_heads = 64;

// Group `n` of [1, groups, size, size], transposed on request; the identity where there is none.
template <class T> struct mix_matrix {
  T at[most_mixed_heads * most_mixed_heads];

  mix_matrix(const operand& m, index n, index size, bool transposed) {
    for (index h = 0; h < size; ++h)
      for (index from = 0; from < size; ++from)
        at[transposed ? from * size + h : h * size + from] =
            m.present() ? broadcast::element<T>(m, 0, n, h, from) : T(h == from);
  }
};

// x of heads [first, first + size); what is masked counts as 0.
template <class Arch, class T>
void mix_heads(const row_scores<T>& x, const T* from, index first, index size, const T* matrix,
               T* to) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>, some = simd::shape<T, Arch>::vectors;
  const B lowest(masked<T> / 2), zero(T(0));
  T column[most_mixed_heads * some * W];
  from += first * x.head_pitch, to += first * x.head_pitch;
  for (index i = 0; i < x.head_pitch; i += some * W) {
    const index vectors = std::min(some, (x.head_pitch - i) / W), pitch = vectors * W;
    for (index h = 0; h < size; ++h)
      for (index v = 0; v < pitch; v += W) {
        const B s = simd::load<T, Arch>(from + h * x.head_pitch + i + v);
        simd::store(column + h * pitch + v, B(simd::select(s <= lowest, zero, s)));
      }
    simd::scores<T, Arch>(vectors, matrix, size, size, column, pitch, size, to + i, x.head_pitch);
  }
}

// sum[h][h'] += Σ d^h x^h' over the own rows.
template <class Arch, class T>
void add_mix_gradient(const row_scores<T>& x, const T* d, index first, index size, double* sum) {
  for (index h = first; h < first + size; ++h)
    for (index other = first; other < first + size; ++other)
      *sum++ += sum_of_products<Arch>(x, d + h * x.head_pitch, x.pitch, x.head(other), x.pitch);
}

}  // namespace heed::detail
