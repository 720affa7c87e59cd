// SPDX-License-Identifier: BSL-1.0
// One integer a token, for masks: values [L], the same for every batch item, or [B, L].
#pragma once

#include <concepts>
#include <heed/core/check.hpp>
#include <ranges>
#include <span>

namespace heed {

// Non-owning: the array must outlive the call. Positions outside [0, L) hold nothing.
class tokens {
 public:
  constexpr tokens() = default;
  template <class R>
    requires(std::convertible_to<R, std::span<const int>> &&
             (std::is_lvalue_reference_v<R> || std::ranges::borrowed_range<R>))
  constexpr tokens(R&& values, index batch = 1)  // NOLINT: an array of integers is one
      : values_(values), batch_(batch), length_(batch > 0 ? index(values_.size()) / batch : 0) {}

  constexpr bool empty() const { return values_.empty(); }
  constexpr index batch() const { return batch_; }
  constexpr index length() const { return length_; }
  constexpr bool holds(index i) const { return 0 <= i && i < length_; }
  constexpr int operator()(index b, index i) const {
    return values_[static_cast<std::size_t>((batch_ > 1 ? b * length_ : 0) + i)];
  }

  void check(const char* policy, const std::string& name, const problem_shape& shape) const {
    if (batch_ != 1 && batch_ != shape.batch)
      check::fail(policy, name + " must be [L] or [B, L]: given for a batch of " +
                              std::to_string(batch_) + ", the call has " +
                              std::to_string(shape.batch));
    if (length_ * batch_ != index(values_.size()) || length_ != shape.keys)
      check::fail(policy, name + " must hold one value a key: " + std::to_string(values_.size()) +
                              " values for " + std::to_string(batch_) + " x " +
                              std::to_string(shape.keys) + " keys");
  }

 private:
  std::span<const int> values_;
  index batch_ = 1, length_ = 0;
};

}  // namespace heed
