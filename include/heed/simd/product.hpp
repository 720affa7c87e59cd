// SPDX-License-Identifier: BSL-1.0
// The micro-kernels of the chunk loop: sums of small matrix products, lanes along columns, and
// forward substitution. All matrices have rows of contiguous elements, `pitch` apart, but A, which
// has any two strides. `product_scalar.hpp` states the same contracts in plain loops.
//
//   product      C[i][n] = keep_i · C[i][n] + Σ_terms Σ_k A(i, k) B[k][n]     i < rows, n < columns
//   solve_lower  U = (I - N)⁻¹ U, N strictly lower: U[i] += Σ_{j<i} N[i][j] U[j]
//
// `columns` is a multiple of the lanes; nothing is assumed about alignment. C overlaps no term.
//
// Cost: blocks of `product_rows` × `product_vectors`, each sum in a register. Each block is a
// function of its own for g++'s sake.
#pragma once

#include <algorithm>
#include <heed/simd/shape.hpp>
#include <initializer_list>

namespace heed::simd {

template <class T> struct term {
  const T* a;  // A(i, k) = a[i * row + k * step]
  index row, step;
  const T* b;
  index pitch;
  index depth;         // k < depth
  bool lower = false;  // A(i, k) is zero for k > i, and may be read there up to a block
  bool upper = false;  // the same for k < i
};

enum class onto : unsigned char { nothing, itself, scaled };

// What becomes of C, and how much of it is wanted.
template <class T> struct target {
  T* c;
  index pitch;
  onto add = onto::nothing;
  const T* keep = nullptr;  // factors of the rows, for `scaled`
  bool lower = false;       // only columns up to the diagonal are wanted, others may be written
  const T* from = nullptr;  // what is added to, of the same pitch; nothing means c itself
};

namespace detail {

template <class T, class Arch, int MR, int NV>
HEED_NOINLINE void product_block(std::initializer_list<term<T>> terms, index row, index column,
                                 const target<T>& to) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B acc[MR][NV];
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] =
      B(T(0));
  for (const term<T>& x : terms) {
    const index depth = x.lower ? std::min(x.depth, row + MR) : x.depth;
    const index row_stride = x.row, step = x.step, pitch = x.pitch, first = x.upper ? row : 0;
    const T* a = x.a + row * row_stride + first * step;
    const T* b = x.b + first * pitch + column;
    HEED_UNROLL_4
    for (index k = first; k < depth; ++k, a += step, b += pitch) {
      B lane[NV];
      HEED_UNROLL for (int v = 0; v < NV; ++v) {
        lane[v] = simd::load<T, Arch>(b + v * W);
        keep(lane[v]);
      }
      HEED_UNROLL for (int i = 0; i < MR; ++i) {
        const B one(a[i * row_stride]);
        HEED_UNROLL for (int v = 0; v < NV; ++v) {
          acc[i][v] = simd::fma(one, lane[v], acc[i][v]);
          in_order(acc[i][v]);
        }
      }
    }
  }
  HEED_UNROLL for (int i = 0; i < MR; ++i) {
    const index at = (row + i) * to.pitch + column;
    T* const c = to.c + at;
    const T* const old = to.from ? to.from + at : c;
    const B factor(to.add == onto::scaled ? to.keep[row + i] : T(1));
    HEED_UNROLL for (int v = 0; v < NV; ++v) simd::store(
        c + v * W, to.add == onto::nothing
                       ? acc[i][v]
                       : simd::fma(factor, simd::load<T, Arch>(old + v * W), acc[i][v]));
  }
}

template <class T, class Arch, int MR, int NV>
HEED_NOINLINE void solve_block(const T* n, index n_pitch, T* u, index pitch, index row,
                               index column) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B acc[MR][NV];
  HEED_UNROLL for (int i = 0; i < MR; ++i) HEED_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] =
      B(T(0));
  n += row * n_pitch;
  u += column;
  HEED_UNROLL_4
  for (index k = 0; k < row; ++k) {
    B lane[NV];
    HEED_UNROLL for (int v = 0; v < NV; ++v) {
      lane[v] = simd::load<T, Arch>(u + k * pitch + v * W);
      keep(lane[v]);
    }
    HEED_UNROLL for (int i = 0; i < MR; ++i) {
      const B one(n[i * n_pitch + k]);
      HEED_UNROLL for (int v = 0; v < NV; ++v) {
        acc[i][v] = simd::fma(one, lane[v], acc[i][v]);
        in_order(acc[i][v]);
      }
    }
  }
  HEED_UNROLL for (int i = 0; i < MR; ++i) {
    T* const out = u + (row + i) * pitch;
    HEED_UNROLL for (int v = 0; v < NV; ++v) {
      acc[i][v] = acc[i][v] + simd::load<T, Arch>(out + v * W);
      HEED_UNROLL for (int j = 0; j < i; ++j) acc[i][v] =
          simd::fma(B(n[i * n_pitch + row + j]), acc[j][v], acc[i][v]);
      simd::store(out + v * W, acc[i][v]);
    }
  }
}

// f(rows, vectors, row, column) for the blocks of a matrix, both sizes constants.
template <class T, class Arch, class F>
HEED_INLINE void for_each_block(index rows, index vectors, const F& f) {
  using tuned = shape<T, Arch>;
  constexpr int MR = tuned::product_rows, NV = tuned::product_vectors;
  index v = 0;
  const auto columns = [&]<int V>(std::integral_constant<int, V> width) HEED_INLINE_LAMBDA {
    for (; v + V <= vectors; v += V) {
      index i = 0;
      const auto some = [&]<int R>(std::integral_constant<int, R> height) HEED_INLINE_LAMBDA {
        for (; i + R <= rows; i += R) f(height, width, i, v);
      };
      some(std::integral_constant<int, MR>{});
      if constexpr (MR > 4) some(std::integral_constant<int, 4>{});
      some(std::integral_constant<int, 1>{});
    }
  };
  columns(std::integral_constant<int, NV>{});
  if constexpr (NV > 2) columns(std::integral_constant<int, 2>{});
  columns(std::integral_constant<int, 1>{});
}

}  // namespace detail

template <class T, class Arch>
void product(index rows, index columns, std::initializer_list<term<T>> terms, target<T> to) {
  constexpr index W = width<T, Arch>;
  detail::for_each_block<T, Arch>(
      rows, columns / W,
      [&]<int R, int V>(std::integral_constant<int, R>, std::integral_constant<int, V>, index row,
                        index v) HEED_INLINE_LAMBDA {
        if (to.lower && v * W >= row + R) return;
        detail::product_block<T, Arch, R, V>(terms, row, v * W, to);
      });
}

// N has `pitch` n_pitch; what it holds on and above the diagonal is not used.
template <class T, class Arch>
void solve_lower(index rows, index columns, const T* n, index n_pitch, T* u, index pitch) {
  constexpr index W = width<T, Arch>;
  detail::for_each_block<T, Arch>(
      rows, columns / W,
      [&]<int R, int V>(std::integral_constant<int, R>, std::integral_constant<int, V>, index row,
                        index v) HEED_INLINE_LAMBDA {
        detail::solve_block<T, Arch, R, V>(n, n_pitch, u, pitch, row, v * W);
      });
}

}  // namespace heed::simd
