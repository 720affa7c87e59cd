// SPDX-License-Identifier: BSL-1.0
// Products of a few learned or summed rows with all tokens of a head: the scores that selectors of
// tokens start from.
#pragma once

#include <heed/kv/stored.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

// All rows of a head in contiguous [L, D], transformed.
template <class Arch, class F, class T>
void load_head(const operand& x, index b, index h, const F& f, T* to) {
  const index depth = x.extent[3];
  for (index l = 0; l < x.extent[2]; ++l) {
    simd::load_row(x.type, x.row(b, h, l), x.stride[3], depth, to + l * depth);
    simd::transform_row<Arch>(f, to + l * depth, depth, row_position{b, h, l, l});
  }
}

// s[r][j] = Σ_c a[r][c] x[j][c], r < rows, j < count.
template <class Arch, class T>
void token_scores(const T* a, index rows, const T* x, index count, index depth, T* s) {
  const stored_rows tokens{.data = reinterpret_cast<const unsigned char*>(x),
                           .type = std::is_same_v<T, double> ? kv_type::f64 : kv_type::f32,
                           .stride = depth * index(sizeof(T))};
  simd::row_scores<T, Arch>(tokens, count, a, depth, rows, depth, s, count);
}

}  // namespace heed::detail
