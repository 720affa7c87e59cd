// SPDX-License-Identifier: BSL-1.0
// as<"BLHD">(x): a view of anything with storage, axes named in the object's own order.
//
// Eigen's tensors and matrices, mdspans, contiguous containers, and pointers with extents. A
// column-major Eigen::Tensor<float, 4>(D, L, H, B) is as<"DLHB">, a column-major MatrixXf(D, L) is
// as<"DL">. Absent letters are axes of extent 1; all strides are taken as they are.
//
// A repeated letter folds neighbouring axes into one that runs through memory from the slower to
// the faster: an image [B,Y,X,H,D] is as<"BLLHD">. Throws std::invalid_argument where the strides
// have no such axis.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/layout.hpp>
#include <string_view>

namespace heed {

// Axis letters as a template argument.
template <std::size_t N> struct axis_names {
  char text[N];
  consteval axis_names(const char (&s)[N]) {  // NOLINT: "BLHD" is one
    for (std::size_t i = 0; i < N; ++i) text[i] = s[i];
  }
  static constexpr std::size_t rank = N - 1;
  static constexpr std::size_t canonical(char c) { return std::string_view("BHLD").find(c); }

  constexpr bool known() const {
    for (std::size_t i = 0; i < rank; ++i)
      if (canonical(text[i]) > 3) return false;
    return true;
  }
  constexpr std::size_t find(std::size_t axis, std::size_t from = 0) const {
    for (std::size_t i = from; i < rank; ++i)
      if (canonical(text[i]) == axis) return i;
    return rank;
  }
  constexpr bool repeated() const {
    for (std::size_t i = 0; i < rank; ++i)
      if (find(canonical(text[i]), i + 1) < rank) return true;
    return false;
  }
  constexpr bool adjacent() const {
    for (std::size_t i = 0; i < rank; ++i)
      for (std::size_t j = i + 2; j < rank; ++j)
        if (text[i] == text[j] && text[j - 1] != text[j]) return false;
    return true;
  }
};

namespace detail {

// No letter twice: no test is left at run time.
template <axis_names Axes, class T>
view<T> unfolded(T* data, const index* extent, const index* stride) {
  constexpr std::size_t at[] = {Axes.find(0), Axes.find(1), Axes.find(2), Axes.find(3)};
  const auto of = [](const index* list, std::size_t i, index absent) {
    return i < Axes.rank ? list[i] : absent;
  };
  return {data,
          {of(extent, at[0], 1), of(extent, at[1], 1), of(extent, at[2], 1), of(extent, at[3], 1)},
          {of(stride, at[0], 0), of(stride, at[1], 0), of(stride, at[2], 0), of(stride, at[3], 1)}};
}

template <axis_names Axes, class T>
view<T> folded(T* data, const index* extent, const index* stride) {
  if constexpr (!Axes.repeated()) return unfolded<Axes>(data, extent, stride);
  view<T> v(data, {1, 1, 1, 1}, {0, 0, 0, 1});
  bool seen[4] = {};
  for (std::size_t i = 0; i < Axes.rank; ++i) {
    const std::size_t a = Axes.canonical(Axes.text[i]);
    index &n = v.extent[a], &s = v.stride[a];
    if (!seen[a] || n == 1) {
      n = extent[i], s = stride[i], seen[a] = true;
    } else if (extent[i] != 1) {
      if (s == extent[i] * stride[i])
        s = stride[i];
      else if (stride[i] != n * s && n * extent[i] != 0)
        check::fail("heed::as", std::string("axes of letter ") + Axes.text[i] + " of \"" +
                                    Axes.text + "\" cannot be folded: their strides " +
                                    std::to_string(s) + " and " + std::to_string(stride[i]) +
                                    " are not one axis of " + std::to_string(n) + " x " +
                                    std::to_string(extent[i]));
      n *= extent[i];
    }
  }
  return v;
}

template <axis_names Axes> consteval void check_axes() {
  static_assert(Axes.known(), "heed::as: axis letters are B, H, L and D");
  static_assert(Axes.adjacent(), "heed::as: a repeated letter folds neighbouring axes only");
}

}  // namespace detail

// A matrix is taken as it is stored, a compile-time vector by one letter or two.
template <axis_names Axes, class X> auto as(X&& x) {
  using object = std::remove_reference_t<X>;
  detail::check_axes<Axes>();
  static_assert(
      detail::has_storage<object>,
      "heed::as: this has no storage to view: evaluate an expression into an object first");
  if constexpr (detail::has_storage<object>) {
    static_assert(std::is_lvalue_reference_v<X> || !detail::owns<std::remove_const_t<object>>(),
                  "heed::as: a temporary that owns its elements would leave the view dangling: "
                  "give it a name");
    const detail::layout_of<Axes.rank, object> layout(x);
    static_assert(layout.rank == Axes.rank, "heed::as: one letter for each axis of the object");
    if constexpr (detail::mdspan_like<object>)
      return detail::folded<Axes>(x.data_handle(), layout.extent.data(), layout.stride.data());
    else
      return detail::folded<Axes>(x.data(), layout.extent.data(), layout.stride.data());
  }
}

// A pointer and the extents of a row-major array, or extents and strides.
template <axis_names Axes, class T>
view<T> as(T* data, const std::array<index, Axes.rank>& extent,
           const std::array<index, Axes.rank>& stride) {
  detail::check_axes<Axes>();
  return detail::folded<Axes>(data, extent.data(), stride.data());
}
template <axis_names Axes, class T>
view<T> as(T* data, const std::array<index, Axes.rank>& extent) {
  std::array<index, Axes.rank> stride{};
  index step = 1;
  for (std::size_t i = Axes.rank; i-- > 0; step *= extent[i]) stride[i] = step;
  return as<Axes>(data, extent, stride);
}

}  // namespace heed
