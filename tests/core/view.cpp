// SPDX-License-Identifier: BSL-1.0
#include <heed/core/view.hpp>
#include <vector>

#include "support/catch.hpp"

using heed::extents;
using heed::view;

TEST_CASE("a view is row-major unless strides are given") {
  std::vector<float> x(2 * 3 * 4 * 5);
  const view<float> v(x.data(), {2, 3, 4, 5});
  CHECK(v.stride == extents{60, 20, 5, 1});
  CHECK(v.size() == 120);
  CHECK(&v(1, 2, 3, 4) == &x.back());
  const view<float> w(x.data() + 119, {2, 3, 4, 5}, {-60, -20, -5, -1});
  CHECK(&w(1, 2, 3, 4) == &x.front());
  const view<float> broadcast(x.data(), {2, 3, 4, 5}, {0, 0, 5, 1});
  CHECK(&broadcast(1, 2, 3, 4) == &x[19]);
}

TEST_CASE("what can be written can be read, not the other way round") {
  float x = 3;
  const view<float> v(&x, {1, 1, 1, 1});
  const view<const float> w = v;
  CHECK(w(0, 0, 0) == 3);
  static_assert(!std::is_convertible_v<view<const float>, view<float>>);
  static_assert(!std::is_convertible_v<view<float>, view<const double>>);
  static_assert(std::is_trivially_copyable_v<view<float>>);
}

TEST_CASE("slices keep strides") {
  std::vector<double> x(2 * 3 * 4 * 5);
  const view<double> v(x.data(), {2, 3, 4, 5});
  const view<double> channels = v.slice_channels(2, 3), rows = v.slice_rows(1, 2);
  CHECK(channels.extent == extents{2, 3, 4, 3});
  CHECK(channels.stride == v.stride);
  CHECK(&channels(1, 2, 3, 0) == &v(1, 2, 3, 2));
  CHECK(rows.extent == extents{2, 3, 2, 5});
  CHECK(&rows(1, 2, 0, 4) == &v(1, 2, 1, 4));
  const view<double> odd(x.data() + 119, {2, 3, 4, 5}, {-60, -20, -5, -1});
  CHECK(&odd.slice_channels(1, 2)(0, 0, 0, 1) == &odd(0, 0, 0, 2));
}

TEST_CASE("a default view is empty") {
  const view<float> v;
  CHECK(v.data == nullptr);
  CHECK(v.size() == 0);
}

TEST_CASE("views are usable at compile time") {
  static constexpr float x[] = {1, 2, 3, 4, 5, 6};
  constexpr view<const float> v(x, {1, 1, 2, 3});
  static_assert(v(0, 0, 1, 2) == 6);
  static_assert(v.slice_channels(1, 1)(0, 0, 1, 0) == 5);
}
