// SPDX-License-Identifier: BSL-1.0
// Element types of operands, and views that have forgotten theirs.
//
// Engines are instantiated per compute type (float or double) and never per storage type: packing
// and `finish` convert. Sixteen-bit types enter by specialising `element_of`; <heed/eigen.hpp> does
// so for Eigen::half and Eigen::bfloat16.
#pragma once

#include <heed/core/view.hpp>

namespace heed {

enum class element : unsigned char { f32, f64, f16, bf16 };

constexpr index size_of(element e) { return e == element::f64 ? 8 : e == element::f32 ? 4 : 2; }

template <class T> struct element_of;  // specialise with `static constexpr element value`
template <> struct element_of<float> {
  static constexpr element value = element::f32;
};
template <> struct element_of<double> {
  static constexpr element value = element::f64;
};

template <class T>
concept storable = requires { element_of<std::remove_const_t<T>>::value; };

// A batch of up to three axes, the last one fastest, which no single stride runs through.
struct batch_axes {
  std::array<index, 3> extent{1, 1, 1}, stride{0, 0, 0};

  constexpr index offset(index b) const {
    const index rest = b / extent[2];
    return b % extent[2] * stride[2] + rest % extent[1] * stride[1] + rest / extent[1] * stride[0];
  }
};

// A view whose element type is known at run time. `Void` is `void` or `const void`.
template <class Void> struct basic_operand {
  using byte = std::conditional_t<std::is_const_v<Void>, const unsigned char, unsigned char>;

  Void* data = nullptr;
  element type = element::f32;
  extents extent{0, 0, 0, 0};
  extents stride{0, 0, 0, 0};
  const batch_axes* batch = nullptr;  // borrowed; in place of stride[0] where there are any

  constexpr basic_operand() = default;
  template <storable T>
    requires std::is_convertible_v<T*, Void*>
  constexpr basic_operand(const view<T>& v)  // NOLINT: every view is an operand
      : data(v.data),
        type(element_of<std::remove_const_t<T>>::value),
        extent(v.extent),
        stride(v.stride) {}
  template <class U>
    requires(std::is_const_v<Void> && !std::is_const_v<U>)
  constexpr basic_operand(const basic_operand<U>& o)  // NOLINT: what can be written can be read
      : data(o.data), type(o.type), extent(o.extent), stride(o.stride), batch(o.batch) {}

  Void* row(index b, index h, index l) const {
    const index item = batch ? batch->offset(b) : b * stride[0];
    return static_cast<byte*>(data) + size_of(type) * (item + h * stride[1] + l * stride[2]);
  }
  constexpr bool present() const { return data != nullptr; }
};

using operand = basic_operand<const void>;
using result = basic_operand<void>;

// float, unless every operand is double.
template <class... Ts>
using compute_type =
    std::conditional_t<(std::is_same_v<std::remove_const_t<Ts>, double> && ...), double, float>;

}  // namespace heed
