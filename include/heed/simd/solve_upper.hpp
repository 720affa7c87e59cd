// SPDX-License-Identifier: BSL-1.0
// Backward substitution, the transpose of `solve_lower`:
//
//   solve_upper  U = (I - Nᵀ)⁻¹ U, N strictly lower: U[i] += Σ_{j>i} N[j][i] U[j]
//
// Contract and blocks of `product.hpp`, the last rows first.
#pragma once

#include <heed/simd/product.hpp>

namespace heed::simd {

namespace detail {

template <class T, class Arch, int MR, int NV>
HEED_NOINLINE void solve_upper_block(index rows, const T* n, index n_pitch, T* u, index pitch,
                                     index row, index column) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B acc[MR][NV];
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] =
      B(T(0));
  n += row;
  u += column;
  HEED_UNROLL_4
  for (index k = row + MR; k < rows; ++k) {
    B lane[NV];
    HEED_UNROLL for (int v = 0; v < NV; ++v) {
      lane[v] = simd::load<T, Arch>(u + k * pitch + v * W);
      keep(lane[v]);
    }
    HEED_UNROLL for (int i = 0; i < MR; ++i) {
      const B one(n[k * n_pitch + i]);
      HEED_UNROLL for (int v = 0; v < NV; ++v) {
        acc[i][v] = simd::fma(one, lane[v], acc[i][v]);
        in_order(acc[i][v]);
      }
    }
  }
  HEED_UNROLL for (int r = 0; r < MR; ++r) {
    const int i = MR - 1 - r;
    T* const out = u + (row + i) * pitch;
    HEED_UNROLL for (int v = 0; v < NV; ++v) {
      acc[i][v] = acc[i][v] + simd::load<T, Arch>(out + v * W);
      HEED_UNROLL for (int j = i + 1; j < MR; ++j) acc[i][v] =
          simd::fma(B(n[(row + j) * n_pitch + i]), acc[j][v], acc[i][v]);
      simd::store(out + v * W, acc[i][v]);
    }
  }
}

}  // namespace detail

// N has `pitch` n_pitch; what it holds on and above the diagonal is not used.
template <class T, class Arch>
void solve_upper(index rows, index columns, const T* n, index n_pitch, T* u, index pitch) {
  using tuned = shape<T, Arch>;
  constexpr index W = width<T, Arch>;
  constexpr int NV = tuned::product_vectors;
  index v = 0;
  const auto some = [&]<int V>(std::integral_constant<int, V>) {
    for (; v + V <= columns / W; v += V) {
      index end = rows;
      const auto block = [&]<int R>(std::integral_constant<int, R>) {
        for (; end >= R; end -= R)
          detail::solve_upper_block<T, Arch, R, V>(rows, n, n_pitch, u, pitch, end - R, v * W);
      };
      block(std::integral_constant<int, 4>{});
      block(std::integral_constant<int, 1>{});
    }
  };
  some(std::integral_constant<int, NV>{});
  if constexpr (NV > 2) some(std::integral_constant<int, 2>{});
  some(std::integral_constant<int, 1>{});
}

}  // namespace heed::simd
