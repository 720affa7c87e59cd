// SPDX-License-Identifier: BSL-1.0
#include <cstdint>
#include <heed/core/storage.hpp>
#include <vector>

#include "support/catch.hpp"

namespace mine {
struct brain {
  std::uint16_t bits;
};
}  // namespace mine
template <> struct heed::element_of<mine::brain> {
  static constexpr element value = element::bf16;
};

using heed::element;
using heed::operand;
using heed::result;
using heed::view;

TEST_CASE("an operand remembers type, extents and strides") {
  std::vector<double> x(100);
  const view<const double> v(x.data(), {1, 2, 3, 4}, {50, 20, 5, 1});
  const operand o = v;
  CHECK(o.data == x.data());
  CHECK(o.type == element::f64);
  CHECK(o.extent == v.extent);
  CHECK(o.stride == v.stride);
  CHECK(o.present());
  CHECK_FALSE(operand{}.present());
}

TEST_CASE("rows are found in bytes of the element type") {
  std::vector<float> f(100);
  std::vector<mine::brain> b(100);
  CHECK(operand(view<float>(f.data(), {2, 2, 3, 4})).row(1, 1, 2) == f.data() + 44);
  CHECK(operand(view<mine::brain>(b.data(), {2, 2, 3, 4})).row(1, 1, 2) == b.data() + 44);
  CHECK(operand(view<mine::brain>(b.data(), {2, 2, 3, 4})).type == element::bf16);
  CHECK(operand(view<float>(f.data() + 99, {2, 2, 3, 4}, {-24, -12, -4, -1})).row(1, 1, 2) ==
        f.data() + 55);
}

TEST_CASE("results come from what can be written") {
  static_assert(std::is_convertible_v<view<float>, result>);
  static_assert(!std::is_convertible_v<view<const float>, result>);
  static_assert(std::is_convertible_v<result, operand>);
  static_assert(!std::is_convertible_v<operand, result>);
  static_assert(!std::is_convertible_v<view<int>, operand>);
  float x = 0;
  const result r = view<float>(&x, {1, 1, 1, 1});
  CHECK(operand(r).data == &x);
}

TEST_CASE("elements and what is computed in") {
  CHECK(heed::size_of(element::f32) == 4);
  CHECK(heed::size_of(element::f64) == 8);
  CHECK(heed::size_of(element::f16) == 2);
  CHECK(heed::size_of(element::bf16) == 2);
  static_assert(heed::storable<const float> && heed::storable<mine::brain> && !heed::storable<int>);
  static_assert(std::is_same_v<heed::compute_type<double, const double, double>, double>);
  static_assert(std::is_same_v<heed::compute_type<double, float, double>, float>);
  static_assert(std::is_same_v<heed::compute_type<mine::brain, mine::brain, mine::brain>, float>);
}
