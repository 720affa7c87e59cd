// SPDX-License-Identifier: BSL-1.0
// Learned numbers that a policy borrows: one a head, one a channel.
#pragma once

#include <heed/core/check.hpp>
#include <ranges>

namespace heed {

// Non-owning, float or double. An owning temporary is refused: it would be gone before the call.
class parameters {
 public:
  constexpr parameters() = default;
  template <class R>
    requires std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                 std::ranges::borrowed_range<R> &&
                 std::is_floating_point_v<std::ranges::range_value_t<R>>
  parameters(R&& list)  // NOLINT: every list of numbers is one
      : data_(std::ranges::data(list)),
        size_(static_cast<index>(std::ranges::size(list))),
        type_(element_of<std::ranges::range_value_t<R>>::value) {}

  constexpr index size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  double operator[](index i) const {
    return type_ == element::f64 ? static_cast<const double*>(data_)[i]
                                 : double(static_cast<const float*>(data_)[i]);
  }
  // All equal to `otherwise` if nothing was given.
  double get(index i, double otherwise) const { return empty() ? otherwise : (*this)[i]; }

 private:
  const void* data_ = nullptr;
  index size_ = 0;
  element type_ = element::f32;
};

// Where the gradient of such numbers goes; nothing means that it is not wanted.
class parameters_gradient {
 public:
  constexpr parameters_gradient() = default;
  template <class R>
    requires std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                 std::ranges::borrowed_range<R> &&
                 (std::is_same_v<std::ranges::range_reference_t<R>, float&> ||
                  std::is_same_v<std::ranges::range_reference_t<R>, double&>)
  parameters_gradient(R&& list)  // NOLINT: every list of numbers is one
      : data_(std::ranges::data(list)),
        size_(static_cast<index>(std::ranges::size(list))),
        type_(element_of<std::ranges::range_value_t<R>>::value) {}

  constexpr index size() const { return size_; }
  void store(const double* sum) const {
    for (index i = 0; i < size_; ++i)
      if (type_ == element::f64)
        static_cast<double*>(data_)[i] = sum[i];
      else
        static_cast<float*>(data_)[i] = static_cast<float>(sum[i]);
  }
  // Nothing, or as many as there are numbers.
  void check(const char* policy, const char* name, index size) const {
    if (size_ != 0 && size_ != size)
      check::fail(policy, std::string("the gradient of ") + name + " must have " +
                              std::to_string(size) + " entries, not " + std::to_string(size_));
  }

 private:
  void* data_ = nullptr;
  index size_ = 0;
  element type_ = element::f32;
};

}  // namespace heed
