// SPDX-License-Identifier: BSL-1.0
// The contracts of product.hpp in plain loops.
#pragma once

#include <heed/simd/product.hpp>
#include <vector>

namespace heed::simd::plain {

// What `lower` lets a kernel write above the diagonal is left alone.
template <class T>
void product(index rows, index columns, std::initializer_list<term<T>> terms, target<T> to) {
  for (index i = 0; i < rows; ++i)
    for (index n = 0; n < (to.lower ? std::min(columns, i + 1) : columns); ++n) {
      const index at = i * to.pitch + n;
      T sum = 0;
      for (const term<T>& x : terms)
        for (index k = x.upper ? i : 0; k < (x.lower ? std::min(x.depth, i + 1) : x.depth); ++k)
          sum += x.a[i * x.row + k * x.step] * x.b[k * x.pitch + n];
      if (to.add != onto::nothing)
        sum += (to.add == onto::scaled ? to.keep[i] : T(1)) * (to.from ? to.from : to.c)[at];
      to.c[at] = sum;
    }
}

template <class T>
void solve_lower(index rows, index columns, const T* n, index n_pitch, T* u, index pitch) {
  for (index i = 0; i < rows; ++i)
    for (index j = 0; j < i; ++j)
      for (index c = 0; c < columns; ++c) u[i * pitch + c] += n[i * n_pitch + j] * u[j * pitch + c];
}

}  // namespace heed::simd::plain
