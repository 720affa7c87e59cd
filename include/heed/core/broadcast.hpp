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

}  // namespace heed::broadcast
