// SPDX-License-Identifier: BSL-1.0
// Extents and strides of objects with storage, known by the shape of their interface alone: tensors
// with dimension(i) and a Layout, matrices with rows(), cols() and two strides, mdspans, and
// contiguous containers.
#pragma once

#include <array>
#include <concepts>
#include <heed/core/position.hpp>
#include <type_traits>
#include <utility>

namespace heed::detail {

// Eigen's compile-time bit for "elements can be reached by pointer and strides".
inline constexpr int direct_access = 0x40;

template <class X>
concept tensor_like = requires(X& x) {
  { x.data() } -> std::convertible_to<const void*>;
  { x.dimension(0) } -> std::convertible_to<index>;
  X::NumIndices;
  X::Layout;
};
template <class X>
concept matrix_like = (X::Flags & direct_access) != 0 && requires(X& x) {
  { x.data() } -> std::convertible_to<const void*>;
  { x.rows() } -> std::convertible_to<index>;
  { x.cols() } -> std::convertible_to<index>;
  { x.innerStride() } -> std::convertible_to<index>;
  { x.outerStride() } -> std::convertible_to<index>;
  X::IsRowMajor;
};
template <class X>
concept mdspan_like = requires(X& x) {
  { x.data_handle() } -> std::convertible_to<const void*>;
  { x.extent(std::size_t{}) } -> std::convertible_to<index>;
  { x.stride(std::size_t{}) } -> std::convertible_to<index>;
  X::rank();
};
template <class X>
concept contiguous_like = !tensor_like<X> && !requires(X& x) { x.rows(); } && requires(X& x) {
  { x.data() } -> std::convertible_to<const void*>;
  { x.size() } -> std::convertible_to<index>;
  x[0];
};
template <class X>
concept has_storage = tensor_like<X> || matrix_like<X> || mdspan_like<X> || contiguous_like<X>;

// Whether the elements go away with the object. Views are trivially destructible, and can be made
// from a pointer or (matrices) name another type as the one that owns.
template <class X> consteval bool owns() {
  if constexpr (!std::is_trivially_destructible_v<X>)
    return true;
  else if constexpr (mdspan_like<X>)
    return false;
  else if constexpr (matrix_like<X>)
    return std::is_same_v<typename X::PlainObject, X>;
  else if constexpr (tensor_like<X>)
    return !std::is_constructible_v<X, decltype(std::declval<X&>().data()),
                                    const typename X::Dimensions&>;
  else
    return !std::is_constructible_v<X, decltype(std::declval<X&>().data()), std::size_t>;
}

// Extents and strides of an object's axes, in its own order; of a vector as one axis or as two.
template <std::size_t Rank, class X> struct layout_of {
  static constexpr bool one_axis = [] {
    if constexpr (matrix_like<X>)
      return Rank == 1 && X::IsVectorAtCompileTime;
    else
      return !tensor_like<X> && !mdspan_like<X>;
  }();
  static constexpr std::size_t rank = [] {
    if constexpr (one_axis)
      return std::size_t{1};
    else if constexpr (matrix_like<X>)
      return std::size_t{2};
    else if constexpr (tensor_like<X>)
      return static_cast<std::size_t>(X::NumIndices);
    else
      return static_cast<std::size_t>(X::rank());
  }();

  std::array<index, rank> extent{}, stride{};

  explicit layout_of(X& x) {
    if constexpr (matrix_like<X>) {
      const index inner = x.innerStride(), outer = x.outerStride();
      if constexpr (one_axis)
        extent = {x.size()}, stride = {inner};
      else
        extent = {x.rows(), x.cols()},
        stride = {X::IsRowMajor ? outer : inner, X::IsRowMajor ? inner : outer};
    } else if constexpr (tensor_like<X>) {
      constexpr bool row_major = static_cast<int>(X::Layout) == 1;
      index step = 1;
      constexpr unsigned axes = static_cast<unsigned>(rank);  // converts to any Eigen's index
      for (unsigned n = 0; n < axes; ++n) {
        const unsigned i = row_major ? axes - 1 - n : n;
        extent[i] = static_cast<index>(x.dimension(i));
        stride[i] = step;
        step *= extent[i];
      }
    } else if constexpr (mdspan_like<X>) {
      for (std::size_t i = 0; i < rank; ++i)
        extent[i] = static_cast<index>(x.extent(i)), stride[i] = static_cast<index>(x.stride(i));
    } else {
      extent = {static_cast<index>(x.size())}, stride = {1};
    }
  }
};

}  // namespace heed::detail
