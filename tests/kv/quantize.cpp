// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/load.hpp>
#include <heed/kv/quantize.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/reference/kv/quantized.hpp>
#include <sstream>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {
namespace {

using numbers = std::vector<float>;

std::string name(const kv_format& f) {
  std::ostringstream s;
  s << (f.type == kv_type::i8 ? "int8" : "int4") << " group " << f.group << " zero " << f.zero
    << (f.scale == element::f16 ? " half" : " float") << " scales";
  return s.str();
}
const std::vector<kv_format>& formats() {
  static const std::vector<kv_format> all = [] {
    std::vector<kv_format> list;
    for (const kv_format& f : {kv_as::int8(), kv_as::int8(5), kv_as::int4(0), kv_as::int4(7)})
      for (const element scale : {element::f32, element::f16}) {
        kv_format g = f;
        g.scale = scale;
        list.push_back(g), list.push_back(g.with_zero());
      }
    return list;
  }();
  return all;
}

// A row coded and read back.
struct coded {
  kv_format format;
  std::vector<unsigned char> codes;
  std::vector<float> scales, zeros;  // memory of either type
  numbers read;
  stored_rows rows;

  coded(const kv_format& f, const numbers& x)
      : format(f),
        codes(std::size_t(bytes_of(f.type, index(x.size()))), 0xee),
        scales(x.size()),
        zeros(x.size()),
        read(x.size()) {
    const index n = index(x.size());
    heed::detail::quantize_row(f, x.data(), n, codes.data(), scales.data(), zeros.data());
    rows = {.data = codes.data(),
            .type = f.type,
            .scales = scales.data(),
            .zeros = f.zero ? zeros.data() : nullptr,
            .scale_type = f.scale,
            .group = f.group_of(n)};
    load_stored(rows, 0, n, read.data());
  }
  double scale(index c) const {
    return scale_of<double>(rows.scales, rows.scale_type, c / rows.group);
  }
  double zero(index c) const {
    return rows.zeros ? scale_of<double>(rows.zeros, rows.scale_type, c / rows.group) : 0;
  }
};

// Half a scale, and float arithmetic.
void check_bound(const kv_format& f, const numbers& x) {
  const coded row(f, x);
  double worst = -1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const index c = index(i);
    const double scale = row.scale(c), zero = row.zero(c),
                 exact = scale * code_of(f.type, row.codes.data(), c) + zero;
    const double size = std::abs(double(x[i])) + std::abs(zero);
    REQUIRE(std::isfinite(row.read[i]));
    worst = std::max(worst, std::abs(x[i] - exact) - scale * (0.5 + 0x1p-15));
    worst = std::max(worst, std::abs(row.read[i] - exact) - 0x1p-22 * (size + scale * 255) - 1e-44);
  }
  INFO(name(f));
  CHECK(worst <= 0);
}

numbers drawn(index n, double middle, double width, unsigned stream) {
  numbers x;
  for (const float y : uniform<float>({1, 1, 1, n}, stream).data)
    x.push_back(float(middle + width * double(y)));
  return x;
}

}  // namespace

TEST_CASE("codes are off by half a scale at most") {
  unsigned stream = 0;
  for (const kv_format& f : formats())
    for (const index n : {1, 2, 5, 31, 64, 77}) {
      for (const double middle : {0.0, 1.0, -300.0})
        for (const double width : {0.0, 1e-6, 1e-3, 1.0, 1000.0})
          check_bound(f, drawn(n, middle, width, ++stream));
      numbers outlier = drawn(n, 0, 1e-3, ++stream);
      outlier[std::size_t(n / 2)] = -50;
      check_bound(f, outlier);
      outlier[0] = 70;
      check_bound(f, outlier);
    }
}

TEST_CASE("the bound holds at the ends of float") {
  constexpr float most = 0x1p127f, least = std::numeric_limits<float>::denorm_min();
  for (kv_format f : formats()) {
    for (const numbers& x :
         {numbers{least}, numbers{least, -least, 0, 5 * least}, numbers{least, 1e-40f, -3e-39f},
          numbers{1e-9f, 2e-9f, -1e-9f}, numbers{3e-8f, 6e-8f, -1e-7f}, numbers(9, least)})
      check_bound(f, x);
    f.scale = element::f32;
    for (const numbers& x : {numbers{most}, numbers{most, -most, 0}, numbers{most, most / 3},
                             numbers{-most, -most / 2, 1}, numbers(9, -most)})
      check_bound(f, x);
  }
}

TEST_CASE("zeros, and numbers that are all the same") {
  for (const kv_format& f : formats()) {
    for (const float y : coded(f, numbers(12, 0)).read) CHECK(y == 0);
    for (const float x : {1.f, -0.1f, 3e4f, 1e-3f}) {
      check_bound(f, numbers(12, x));
      // One number: the middle of its codes is a float or a half away from it.
      const double allowed = f.scale == element::f32 ? 0x1p-22 : 0x1p-10;
      for (const float y : coded(f, numbers(12, x)).read)
        CHECK(std::abs(y - x) <= allowed * std::abs(x));
    }
  }
  const coded zero(kv_as::int8(), {0, 1, -3, 0});
  CHECK(zero.read[0] == 0);
  CHECK(zero.read[3] == 0);
}

TEST_CASE("scales are those of the definition") {
  unsigned stream = 0;
  for (const kv_format& f : formats()) {
    const index n = 77;
    const numbers x = drawn(n, 0.3, 2, ++stream);
    const coded row(f, x);
    const int bits = f.type == kv_type::i8 ? 8 : 4;
    for (index first = 0; first < n; first += f.group_of(n)) {
      Eigen::VectorXd set(std::min(f.group_of(n), n - first));
      for (index i = 0; i < set.size(); ++i) set(i) = x[std::size_t(first + i)];
      const auto want =
          f.zero ? reference::kv::affine(set, bits) : reference::kv::symmetric(set, bits);
      INFO(name(f) << " at " << first);
      // A zero kept in half may be off by half of the last place of 2, which the scale makes up
      // for.
      const double e = f.scale == element::f32 ? 0x1p-22 : 0x1p-11;
      CHECK(std::abs(row.zero(first) - want.zero) <= 3 * e);
      CHECK(std::abs(row.scale(first) - want.scale) <= e * want.scale + (f.zero ? 3 * e / 7 : 0));
      // As good as the definition: half a scale of it, and the rounding of ours.
      for (index i = 0; i < set.size(); ++i) {
        CHECK(std::abs(set(i) - want.numbers()(i)) <= want.scale / 2 * (1 + 1e-9));
        CHECK(std::abs(double(row.read[std::size_t(first + i)]) - want.numbers()(i)) <=
              want.scale + 16 * e);
      }
    }
  }
}

TEST_CASE("numbers beyond half scales come to sit at the end") {
  for (const kv_format& f : {kv_as::int4(0), kv_as::int4(0).with_zero()}) {
    const coded row(f, {1e30f, -1e30f, 0.f});
    CHECK(row.read[0] >= 7 * 65504.f);
    CHECK(row.read[1] <= -7 * 65504.f);
    CHECK(row.read[2] == 0);
  }
}

TEST_CASE("a number that is not finite takes its own set with it, and no other") {
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const kv_format& f : formats())
    for (const float bad : {inf, -inf, nan}) {
      numbers x = drawn(35, 0, 1, 3);
      const coded before(f, x);
      x[8] = bad;
      const coded row(f, x);
      for (index c = 0; c < 35; ++c) {
        const bool same = c / row.rows.group == 8 / row.rows.group;
        const float y = row.read[std::size_t(c)];
        CHECK((same ? std::isnan(y) : y == before.read[std::size_t(c)]));
      }
    }
}

TEST_CASE("int4 is two a byte, low nibble first, in two's complement") {
  const coded row(kv_as::int4(0), {7, -7, 1, 0, -3});
  CHECK(row.codes == std::vector<unsigned char>{0x97, 0x01, 0x0d});
  CHECK(row.scale(0) == 1);
  CHECK(coded(kv_as::int8(), {127, -127, 5}).codes == std::vector<unsigned char>{127, 129, 5});
}

}  // namespace heed::test
