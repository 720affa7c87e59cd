// SPDX-License-Identifier: BSL-1.0
// Sixteen-bit types: every value, and every rounding boundary with its neighbours, against Eigen.
#include <Eigen/Core>
#include <bit>
#include <cstdint>
#include <heed/simd/convert.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using heed::element;
namespace simd = heed::simd;

namespace {

bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b)
                       : std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}
std::uint16_t bits(Eigen::half x) { return Eigen::numext::bit_cast<std::uint16_t>(x); }
std::uint16_t bits(Eigen::bfloat16 x) { return Eigen::numext::bit_cast<std::uint16_t>(x); }
float value(Eigen::half x) { return static_cast<float>(x); }
float value(Eigen::bfloat16 x) { return static_cast<float>(x); }

struct half {
  using eigen = Eigen::half;
  static constexpr element type = element::f16;
  static eigen of(std::uint16_t x) { return Eigen::numext::bit_cast<Eigen::half>(x); }
  static float from(std::uint16_t x) { return simd::from_half(x); }
  static std::uint16_t to(float x) { return simd::to_half(x); }
};
struct bfloat {
  using eigen = Eigen::bfloat16;
  static constexpr element type = element::bf16;
  static eigen of(std::uint16_t x) { return Eigen::numext::bit_cast<Eigen::bfloat16>(x); }
  static float from(std::uint16_t x) { return simd::from_bfloat(x); }
  static std::uint16_t to(float x) { return simd::to_bfloat(x); }
};

template <class Format> bool rounds(float x) {
  const auto expected = typename Format::eigen(x);
  const std::uint16_t got = Format::to(x);
  return std::isnan(x) ? std::isnan(Format::from(got)) : got == bits(expected);
}

std::vector<std::uint16_t> every() {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("every sixteen-bit value widens as in Eigen, and comes back", "", half, bfloat) {
  int wide = 0, back = 0;
  for (std::uint16_t h : every()) {
    const float x = value(TestType::of(h));
    wide += !same(TestType::from(h), x);
    back += std::isnan(x) ? !std::isnan(TestType::from(TestType::to(x))) : TestType::to(x) != h;
  }
  CHECK(wide == 0);
  CHECK(back == 0);
}

TEMPLATE_TEST_CASE("floats round to the nearest, ties to even, at every boundary", "", half,
                   bfloat) {
  int wrong = 0;
  for (std::uint16_t h : every()) {
    const double a = double(TestType::from(h)),
                 b = double(TestType::from(static_cast<std::uint16_t>(h + 1)));
    if (std::isfinite(a) && std::isfinite(b)) {
      const auto middle = static_cast<float>((a + b) / 2);
      for (float x : {middle, std::nextafter(middle, 1e38f), std::nextafter(middle, -1e38f)})
        wrong += !rounds<TestType>(x);
    }
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("random bits and edges round as in Eigen", "", half, bfloat) {
  const float inf = std::numeric_limits<float>::infinity();
  for (float x :
       {0.f, -0.f, 1.f, inf, -inf, std::nanf(""), -std::nanf(""), 65504.f, 65519.996f, 65520.f,
        -65520.f, 0x1p-14f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f, 0x1p-149f, 3.4e38f, -3.4e38f})
    CHECK(rounds<TestType>(x));
  std::mt19937 generator(5);
  int wrong = 0;
  for (int i = 0; i < 300000; ++i)
    wrong += !rounds<TestType>(std::bit_cast<float>(static_cast<std::uint32_t>(generator())));
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("rows of every value, at any length and stride", "", half, bfloat) {
  const std::vector<std::uint16_t> all = every();
  const auto n = static_cast<heed::index>(all.size());
  std::vector<float> f(all.size());
  std::vector<double> d(all.size());
  simd::load_row(TestType::type, all.data(), 1, n, f.data());
  simd::load_row(TestType::type, all.data(), 1, n, d.data());
  int wrong = 0;
  for (std::size_t i = 0; i < all.size(); ++i)
    wrong += !same(f[i], TestType::from(all[i])) +
             !same(static_cast<float>(d[i]), TestType::from(all[i]));
  CHECK(wrong == 0);

  for (heed::index count = 0; count < 20; ++count)
    for (heed::index stride : {1, 2, 5, -3, 0}) {
      // Exactly the elements of the row.
      const heed::index span = count > 0 ? std::abs(stride) * (count - 1) + 1 : 0;
      std::vector<std::uint16_t> row(all.begin() + 15000, all.begin() + 15000 + span);
      const std::uint16_t* first = row.data() + (stride < 0 && count > 0 ? span - 1 : 0);
      std::vector<float> out(static_cast<std::size_t>(count));
      simd::load_row(TestType::type, first, stride, count, out.data());
      for (heed::index i = 0; i < count; ++i)
        CHECK(same(out[static_cast<std::size_t>(i)], TestType::from(first[i * stride])));
      if (stride == 0) continue;
      std::vector<std::uint16_t> stored(row.size(), 0xabcd);
      simd::store_row(TestType::type, out.data(), count, stored.data() + (first - row.data()),
                      stride);
      for (heed::index i = 0; i < span; ++i) {
        const auto at = static_cast<std::size_t>(i);
        CHECK(stored[at] == (i % std::abs(stride) == 0 ? row[at] : 0xabcd));
      }
    }
}

TEST_CASE("rows of float and double, at any stride") {
  const double wide[] = {1, 2.5, -3, 1e-300, 1e300};
  float narrow[5];
  simd::load_row(element::f64, wide, 1, 5, narrow);
  CHECK((narrow[1] == 2.5f && narrow[3] == 0 && std::isinf(narrow[4])));
  double back[3];
  simd::load_row(element::f32, narrow + 2, -1, 3, back);
  CHECK((back[0] == -3 && back[1] == 2.5 && back[2] == 1));
  double spread[5] = {7, 7, 7, 7, 7};
  simd::store_row(element::f64, narrow, 3, spread + 4, -2);
  CHECK(
      (spread[4] == 1 && spread[3] == 7 && spread[2] == 2.5 && spread[1] == 7 && spread[0] == -3));
  float single[2];
  simd::store_row(element::f32, wide, 2, single, 1);
  CHECK((single[0] == 1 && single[1] == 2.5f));
}
