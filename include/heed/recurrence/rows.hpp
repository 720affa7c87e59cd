// SPDX-License-Identifier: BSL-1.0
// Rows of tokens in the compute type, for recurrences with a driver of their own.
#pragma once

#include <heed/core/view.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

template <class T> void load(const operand& x, index b, index h, index l, T* to) {
  simd::load_row(x.type, x.row(b, h, l), x.stride[3], x.extent[3], to);
}
// The row where it lies, or copied to `room`.
template <class T> const T* row_of(const operand& x, index b, index h, index l, T* room) {
  if (simd::stored_as<T>(x)) return static_cast<const T*>(x.row(b, h, l));
  load(x, b, h, l, room);
  return room;
}
template <class T> void store(const result& x, index b, index h, index l, const T* from) {
  simd::store_row(x.type, from, x.extent[3], x.row(b, h, l), x.stride[3]);
}

}  // namespace heed::detail
