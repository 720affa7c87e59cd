// SPDX-License-Identifier: BSL-1.0
// What operators along edges have in common: what they write, the rules for their operands, and
// tables with a number for every edge and head.
#pragma once

#include <functional>
#include <heed/core/broadcast.hpp>
#include <heed/segment/rows.hpp>
#include <heed/simd/exp2.hpp>
#include <limits>

namespace heed {

// out [1,H,N,Dv] is required; lse [1,H,N,1] only if present.
struct edge_outputs {
  result out{};
  result lse{};
};

namespace detail {

inline void check_rows(const char* operation, const check::named& x, const extents& want) {
  if (x.value.extent != want)
    check::fail(operation, std::string(x.name) + " must be " + check::print(want), {x});
  if (!x.value.present() && x.value.extent[1] * x.value.extent[2] * x.value.extent[3] != 0)
    check::fail(operation, std::string(x.name) + " must not be null", {x});
}
inline void check_optional(const char* operation, const check::named& x, const extents& want) {
  if (x.value.present()) check_rows(operation, x, want);
}
// Extents of 1 stand for every index.
inline void check_table(const char* operation, const check::named& x, const extents& want) {
  if (x.value.present()) broadcast::check(operation, x.name, x.value, want);
}

// s[h][j] of edges first … first + count - 1, `row` with segment_block or H elements.
template <class T>
void load_edges(const operand& x, index first, index count, index heads, T* row, T* s) {
  if (x.type == element_of<T>::value) {
    const T* from = static_cast<const T*>(x.row(0, 0, first));
    for (index j = 0; j < count; ++j, from += x.stride[2])
      for (index h = 0; h < heads; ++h) s[h * segment_block + j] = from[h * x.stride[1]];
    return;
  }
  for (index j = 0; j < count; ++j) {
    simd::load_row(x.type, x.row(0, 0, first + j), x.stride[1], heads, row);
    for (index h = 0; h < heads; ++h) s[h * segment_block + j] = row[h];
  }
}
template <class T>
void store_edges(const result& x, index first, index count, index heads, T* row, const T* s) {
  if (x.type == element_of<T>::value) {
    T* to = static_cast<T*>(x.row(0, 0, first));
    for (index j = 0; j < count; ++j, to += x.stride[2])
      for (index h = 0; h < heads; ++h) to[h * x.stride[1]] = s[h * segment_block + j];
    return;
  }
  for (index j = 0; j < count; ++j) {
    for (index h = 0; h < heads; ++h) row[h] = s[h * segment_block + j];
    simd::store_row(x.type, row, heads, x.row(0, 0, first + j), x.stride[1]);
  }
}
// s[h][j] += f(table[h, first + j])
template <class T, class F = std::identity>
void add_edges(const operand& table, index first, index count, index heads, T* row, T* s,
               const F& f = {}) {
  if (!table.present()) return;
  for (index h = 0; h < heads; ++h) {
    if (h == 0 || table.extent[1] != 1) {
      broadcast::load(table, 0, h, first, 0, 2, count, row);
      for (index j = 0; j < count; ++j) row[j] = f(row[j]);
    }
    // -inf leaves no edge, whatever its score.
    for (index j = 0; j < count; ++j) {
      T& to = s[h * segment_block + j];
      to = row[j] == -std::numeric_limits<T>::infinity() ? row[j] : to + row[j];
    }
  }
}
// Logits to weights, given the logarithm of the denominator of every head: 0 where that is -inf.
template <class T, class Arch> void edge_weights(T* s, const T* lse, index count, index heads) {
  using B = simd::batch<T, Arch>;
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  for (index h = 0; h < heads; ++h) {
    const B base(lse[h] == nothing ? T(0) : lse[h]);
    T* const row = s + h * segment_block;
    std::fill(row + count, row + segment_block, nothing);
    for (index j = 0; j < count; j += simd::width<T, Arch>)
      simd::store(row + j, B(simd::exp(B(simd::load<T, Arch>(row + j) - base))));
  }
}

}  // namespace detail

}  // namespace heed
