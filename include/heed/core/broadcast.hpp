// SPDX-License-Identifier: BSL-1.0
// Tables of policies: operands whose axes of extent 1 stand for every index of that axis.
#pragma once

#include <heed/core/check.hpp>
#include <heed/simd/convert.hpp>

namespace heed::broadcast {

inline const void* element_address(const operand& x, index b, index h, index l, index d) {
  const index at[4] = {b, h, l, d};
  index offset = 0;
  for (std::size_t i = 0; i < 4; ++i)
    if (x.extent[i] != 1) offset += at[i] * x.stride[i];
  return static_cast<const unsigned char*>(x.data) + offset * size_of(x.type);
}

template <class T> T element(const operand& x, index b, index h, index l, index d) {
  T value;
  simd::load_row(x.type, element_address(x, b, h, l, d), 1, 1, &value);
  return value;
}

// `count` elements along `axis` from the given index on, as T.
template <class T>
void load(const operand& x, index b, index h, index l, index d, std::size_t axis, index count,
          T* out) {
  simd::load_row(x.type, element_address(x, b, h, l, d), x.extent[axis] == 1 ? 0 : x.stride[axis],
                 count, out);
}

// Every extent of `x` must be 1 or that of `whole`.
inline void check(const char* policy, const char* name, const operand& x, const extents& whole) {
  bool fits = x.present() || whole[0] * whole[1] * whole[2] * whole[3] == 0;
  for (std::size_t i = 0; i < 4; ++i) fits = fits && (x.extent[i] == 1 || x.extent[i] == whole[i]);
  if (!fits)
    check::fail(policy, std::string(name) + " is " + check::print(x.extent) +
                            (x.present() ? "" : " without data") + ", but must broadcast to " +
                            check::print(whole));
}

// Gradient of a table: one sum a number of it, in the order of its axes.
inline index sums(const result& g) {
  return g.present() ? g.extent[0] * g.extent[1] * g.extent[2] * g.extent[3] : 0;
}
inline index sum_at(const result& g, index b, index h, index l, index d) {
  const extents& e = g.extent;
  return (((e[0] == 1 ? 0 : b) * e[1] + (e[1] == 1 ? 0 : h)) * e[2] + (e[2] == 1 ? 0 : l)) * e[3] +
         (e[3] == 1 ? 0 : d);
}
inline void store_sums(const result& g, const double* sum) {
  if (!g.present()) return;
  for (index b = 0; b < g.extent[0]; ++b)
    for (index h = 0; h < g.extent[1]; ++h)
      for (index l = 0; l < g.extent[2]; ++l, sum += g.extent[3])
        simd::store_row(g.type, sum, g.extent[3], g.row(b, h, l), g.stride[3]);
}
// x[b, h, l, d] += value; float or double, axes of extent 1 standing for every index.
inline void add(const result& x, index b, index h, index l, index d, double value) {
  void* const at = const_cast<void*>(element_address(x, b, h, l, d));
  if (x.type == element::f64)
    *static_cast<double*>(at) += value;
  else
    *static_cast<float*>(at) += static_cast<float>(value);
}
inline void clear(const result& x) {
  constexpr double zero = 0;
  for (index b = 0; b < x.extent[0]; ++b)
    for (index h = 0; h < x.extent[1]; ++h)
      for (index l = 0; l < x.extent[2]; ++l)
        for (index d = 0; d < x.extent[3]; ++d)
          simd::store_row(x.type, &zero, 1, const_cast<void*>(element_address(x, b, h, l, d)), 1);
}
// Absent, or of the table's shape; `summed` ones are added to where they lie.
inline void check_gradient(const char* policy, const operand& table, const result& g,
                           bool summed = false) {
  if (!g.present()) return;
  if (g.extent != table.extent)
    check::fail(policy, "the gradient is " + check::print(g.extent) + " for a table of " +
                            check::print(table.extent));
  if (summed && g.type != element::f32 && g.type != element::f64)
    check::fail(policy, "the gradient must be float or double");
}

}  // namespace heed::broadcast
