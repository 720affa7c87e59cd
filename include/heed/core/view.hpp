// SPDX-License-Identifier: BSL-1.0
// view<T>: a pointer with four extents and four strides, axes [B, H, L, D].
#pragma once

#include <array>
#include <heed/core/position.hpp>
#include <type_traits>

namespace heed {

using extents = std::array<index, 4>;

constexpr extents row_major(const extents& e) { return {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}; }

// Non-owning. Strides count elements and are free, zero and negative included; an axis that an
// operand lacks has extent 1. Nothing is copied and nothing is freed.
template <class T> struct view {
  T* data = nullptr;
  extents extent{0, 0, 0, 0};
  extents stride{0, 0, 0, 0};

  constexpr view() = default;
  constexpr view(T* p, const extents& e) : data(p), extent(e), stride(row_major(e)) {}
  constexpr view(T* p, const extents& e, const extents& s) : data(p), extent(e), stride(s) {}
  template <class U>
    requires(std::is_const_v<T> && std::is_same_v<U, std::remove_const_t<T>>)
  constexpr view(const view<U>& other)  // NOLINT: a mutable view is a view
      : data(other.data), extent(other.extent), stride(other.stride) {}

  constexpr index size() const { return extent[0] * extent[1] * extent[2] * extent[3]; }
  constexpr index offset(index b, index h, index l, index d) const {
    return b * stride[0] + h * stride[1] + l * stride[2] + d * stride[3];
  }
  constexpr T& operator()(index b, index h, index l, index d = 0) const {
    return data[offset(b, h, l, d)];
  }
  // Channels [first, first + count) of every row.
  constexpr view slice_channels(index first, index count) const {
    return {data + first * stride[3], {extent[0], extent[1], extent[2], count}, stride};
  }
  constexpr view slice_rows(index first, index count) const {
    return {data + first * stride[2], {extent[0], extent[1], count, extent[3]}, stride};
  }
};

}  // namespace heed
