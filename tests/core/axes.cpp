// SPDX-License-Identifier: BSL-1.0
#include <Eigen/Core>
#include <heed/core/axes.hpp>
#include <memory>
#include <span>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

#include "support/catch.hpp"

using Catch::Matchers::ContainsSubstring;
using heed::as;
using heed::extents;
using heed::view;

namespace {

// The least that an mdspan offers.
template <class T, std::size_t R> struct strided {
  T* pointer;
  std::array<long, R> extents, strides;
  static constexpr std::size_t rank() { return R; }
  T* data_handle() const { return pointer; }
  long extent(std::size_t i) const { return extents[i]; }
  long stride(std::size_t i) const { return strides[i]; }
};

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

TEST_CASE("tensors of both layouts, letters in the tensor's own order") {
  Eigen::Tensor<float, 4, Eigen::RowMajor> r(2, 3, 5, 7);
  view<float> v = as<"BLHD">(r);
  CHECK(v.extent == extents{2, 5, 3, 7});
  CHECK(v.stride == extents{105, 7, 35, 1});
  r(1, 2, 3, 4) = 9;
  CHECK(v(1, 3, 2, 4) == 9);

  Eigen::Tensor<double, 4> c(7, 5, 3, 2);
  view<double> w = as<"DLHB">(c);
  CHECK(w.extent == extents{2, 3, 5, 7});
  CHECK(w.stride == extents{105, 35, 7, 1});
  CHECK(&w(1, 2, 3, 4) == &c(4, 3, 2, 1));

  Eigen::TensorFixedSize<float, Eigen::Sizes<4, 6>, Eigen::RowMajor> fixed;
  CHECK(as<"LD">(fixed).extent == extents{1, 1, 4, 6});
  CHECK(as<"LD">(fixed).data == fixed.data());
}

TEST_CASE("maps are taken as temporaries, constness with them") {
  std::vector<float> x(24);
  const view<float> v =
      as<"HLD">(Eigen::TensorMap<Eigen::Tensor<float, 3, Eigen::RowMajor>>(x.data(), 2, 3, 4));
  CHECK(v.data == x.data());
  CHECK(v.stride == extents{0, 12, 4, 1});
  static_assert(std::is_same_v<view<const float>,
                               decltype(as<"HLD">(Eigen::TensorMap<const Eigen::Tensor<float, 3>>(
                                   x.data(), 2, 3, 4)))>);
  const Eigen::Tensor<float, 2> fixed(3, 4);
  static_assert(std::is_same_v<view<const float>, decltype(as<"DL">(fixed))>);
  const Eigen::MatrixXd m(3, 4);
  static_assert(std::is_same_v<view<const double>, decltype(as<"DL">(m))>);
  static_assert(std::is_same_v<view<const double>, decltype(as<"DL">(m.topRows(2)))>);
  static_assert(
      std::is_same_v<view<float>, decltype(as<"DL">(Eigen::Map<Eigen::MatrixXf>(x.data(), 4, 6)))>);
}

TEST_CASE("matrices, maps, refs, blocks and transposes in both storage orders") {
  Eigen::MatrixXf c = Eigen::MatrixXf::Random(5, 8);
  row_major<float> r = c;
  const auto same = [&](view<const float> v, const auto& m) {
    REQUIRE(v.extent == extents{1, 1, m.rows(), m.cols()});
    for (heed::index l = 0; l < m.rows(); ++l)
      for (heed::index d = 0; d < m.cols(); ++d) CHECK(v(0, 0, l, d) == m(l, d));
  };
  same(as<"LD">(c), c);
  same(as<"LD">(r), r);
  CHECK(as<"LD">(c).stride == extents{0, 0, 1, 5});
  CHECK(as<"DL">(c).stride == extents{0, 0, 5, 1});
  same(as<"LD">(c.block(1, 2, 3, 4)), c.block(1, 2, 3, 4));
  same(as<"LD">(r.block(1, 2, 3, 4)), r.block(1, 2, 3, 4));
  same(as<"LD">(c.middleRows<2>(2)), c.middleRows<2>(2));
  same(as<"LD">(r.transpose()), r.transpose());
  same(as<"LD">(Eigen::Ref<Eigen::MatrixXf>(c)), c);
  Eigen::Ref<const row_major<float>, 0, Eigen::OuterStride<>> ref(r.rightCols(3));
  same(as<"LD">(ref), r.rightCols(3));
  using both = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  const Eigen::Map<const Eigen::MatrixXf, 0, both> strided_map(c.data(), 2, 4, both(10, 2));
  same(as<"LD">(strided_map), strided_map);
  const Eigen::Map<row_major<float>, 0, both> strided_rows(r.data(), 2, 4, both(16, 2));
  same(as<"LD">(strided_rows), strided_rows);
  const Eigen::Array<float, 3, 2> array = Eigen::Array<float, 3, 2>::Random();
  same(as<"LD">(array), array);
}

TEST_CASE("vectors by one letter or by two") {
  Eigen::VectorXf v = Eigen::VectorXf::Random(6);
  CHECK(as<"L">(v).extent == extents{1, 1, 6, 1});
  CHECK(as<"D">(v).extent == extents{1, 1, 1, 6});
  CHECK(as<"LD">(v).extent == extents{1, 1, 6, 1});
  Eigen::RowVectorXf r = v;
  CHECK(as<"LD">(r).extent == extents{1, 1, 1, 6});
  Eigen::MatrixXf m = Eigen::MatrixXf::Random(4, 5);
  const auto row = as<"D">(m.row(2));
  CHECK(row.stride[3] == 4);
  CHECK(row(0, 0, 0, 3) == m(2, 3));
  CHECK(as<"H">(m.diagonal()).stride[1] == 5);
  std::vector<double> slopes{1, 2, 3};
  CHECK(as<"H">(slopes).extent == extents{1, 3, 1, 1});
  CHECK(as<"H">(slopes).stride[1] == 1);
  CHECK(as<"H">(std::span<const double>(slopes)).data == slopes.data());
  std::array<float, 4> four{};
  CHECK(as<"D">(four).extent == extents{1, 1, 1, 4});
}

TEST_CASE("mdspans and pointers") {
  std::vector<float> x(1000);
  const strided<float, 3> m{x.data() + 100, {3, 4, 5}, {-7, 0, 2}};
  const view<float> v = as<"HLD">(m);
  CHECK(v.data == x.data() + 100);
  CHECK(v.extent == extents{1, 3, 4, 5});
  CHECK(v.stride == extents{0, -7, 0, 2});
  CHECK(as<"BLHD">(x.data(), {2, 3, 4, 5}).stride == extents{60, 5, 20, 1});
  CHECK(as<"LD">(x.data(), {3, 4}, {100, 3}).stride == extents{0, 0, 100, 3});
  const float* read = x.data();
  static_assert(std::is_same_v<view<const float>, decltype(as<"LD">(read, {3, 4}))>);
}

TEST_CASE("absent letters are axes of extent one") {
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(2, 3, 4);
  CHECK(as<"BHL">(lse).extent == extents{2, 3, 4, 1});
  CHECK(as<"BHL">(lse).stride == extents{12, 4, 1, 1});
  Eigen::Tensor<float, 0, Eigen::RowMajor> nothing;
  CHECK(as<"">(nothing).extent == extents{1, 1, 1, 1});
}

TEST_CASE("repeated letters fold") {
  Eigen::Tensor<float, 5, Eigen::RowMajor> image(2, 4, 6, 3, 8);
  const auto v = as<"BLLHD">(image);
  CHECK(v.extent == extents{2, 3, 24, 8});
  CHECK(v.stride == extents{576, 8, 24, 1});
  CHECK(&v(1, 2, 3 * 6 + 5, 7) == &image(1, 3, 5, 2, 7));

  Eigen::Tensor<float, 5> columns(8, 3, 6, 4, 2);  // D, H, X, Y, B: x runs faster
  const auto w = as<"DHLLB">(columns);
  CHECK(w.extent == extents{2, 3, 24, 8});
  CHECK(&w(1, 2, 3 * 6 + 5, 7) == &columns(7, 2, 5, 3, 1));

  std::vector<float> x(10000);
  CHECK(as<"LLLD">(x.data(), {2, 3, 4, 5}).extent == extents{1, 1, 24, 5});
  CHECK(as<"LLLD">(x.data(), {2, 3, 4, 5}).stride[2] == 5);
  SECTION("over extents of one and zero whatever their strides") {
    CHECK(as<"LLD">(x.data(), {1, 6, 5}, {777, 5, 1}).stride[2] == 5);
    CHECK(as<"LLD">(x.data(), {6, 1, 5}, {5, 777, 1}).stride[2] == 5);
    CHECK(as<"LLD">(x.data(), {6, 0, 5}, {5, 777, 1}).extent[2] == 0);
    CHECK(as<"LLD">(x.data(), {0, 6, 5}, {5, 777, 1}).extent[2] == 0);
  }
  SECTION("with zero and negative strides") {
    CHECK(as<"LLD">(x.data(), {3, 4, 5}, {0, 0, 1}).stride[2] == 0);
    CHECK(as<"LLD">(x.data() + 500, {3, 4, 5}, {-20, -5, 1}).stride[2] == -5);
  }
  SECTION("or are refused") {
    CHECK_THROWS_AS((as<"LLD">(x.data(), {3, 4, 5}, {21, 5, 1})), std::invalid_argument);
    CHECK_THROWS_AS((as<"LLD">(x.data(), {3, 4, 5}, {0, 5, 1})), std::invalid_argument);
    CHECK_THROWS_AS((as<"LLLD">(x.data(), {2, 3, 4, 5}, {60, 40, 5, 1})), std::invalid_argument);
    CHECK_THROWS_WITH((as<"BLLD">(x.data(), {1, 3, 4, 5}, {1, 21, 5, 1})),
                      ContainsSubstring("heed::as") && ContainsSubstring("\"BLLD\"") &&
                          ContainsSubstring("L") && ContainsSubstring("21 and 5") &&
                          ContainsSubstring("3 x 4"));
  }
}
