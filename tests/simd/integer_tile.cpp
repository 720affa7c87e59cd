// SPDX-License-Identifier: BSL-1.0
// The integer micro-kernels against exact sums: within the bound that the header states, and the
// bound within a factor of what happens.
#include <heed/simd/integer_tile.hpp>
#include <heed/simd/row_tile_scalar.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
namespace simd = heed::simd;

namespace {

constexpr double eps = 0x1p-24;

// Random codes with a scale a row; rows `gap` bytes further apart than they are long, the gaps
// holding -128.
struct codes {
  std::vector<unsigned char> bytes;
  std::vector<float> scales;
  std::vector<std::uint16_t> half_scales;
  heed::stored_rows rows;

  codes(heed::index count, heed::index columns, heed::index gap, bool half)
      : bytes(static_cast<std::size_t>(count > 0 ? (count - 1) * (columns + gap) + columns : 0),
              0x80) {
    static std::mt19937 generator(5);
    for (heed::index j = 0; j < count; ++j) {
      for (heed::index c = 0; c < columns; ++c)
        bytes[static_cast<std::size_t>(j * (columns + gap) + c)] =
            static_cast<unsigned char>(generator());
      const float scale = std::ldexp(1.0f + float(generator() % 1024) / 1024, -7);
      scales.push_back(scale), half_scales.push_back(simd::to_half(scale));
    }
    rows.data = bytes.data(), rows.type = heed::kv_type::i8, rows.stride = columns + gap;
    rows.group = columns, rows.scale_stride = 1;
    rows.scale_type = half ? heed::element::f16 : heed::element::f32;
    rows.scales = half ? static_cast<const void*>(half_scales.data()) : scales.data();
  }
  codes(const codes&) = delete;
  double code(heed::index j, heed::index c) const {
    return static_cast<std::int8_t>(bytes[static_cast<std::size_t>(j * rows.stride + c)]);
  }
  double scale(heed::index j) const { return scales[static_cast<std::size_t>(j)]; }
};

const heed::index lengths[] = {1,  2,  3,  5,  7,  8,  15, 16,  17,  31,  32,  33,
                               47, 63, 64, 65, 80, 96, 97, 127, 128, 257, 512, 700};
const heed::index counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 63, 64, 65, 150};

template <class F> void for_sizes(const F& f) {
  heed::index turn = 0;
  for (heed::index rows = 1; rows <= 9; ++rows)
    for (const heed::index length : lengths)
      for (int n = 0; n < 3; ++n) f(rows, counts[turn++ % heed::index(std::size(counts))], length);
}

}  // namespace

TEMPLATE_TEST_CASE("quantize_row: to the nearest of 2L + 1 codes", "", simd::best, simd::scalar) {
  for (const heed::index n : lengths)
    for (const int levels : {32767, 1000}) {
      const auto x = matrix<float>::random(1, n, n);
      std::vector<std::int16_t> code(static_cast<std::size_t>(n));
      const float unit = simd::quantize_row<TestType>(x.begin(), n, levels, code.data());
      int most = 0;
      for (heed::index i = 0; i < n; ++i) {
        const int one = code[static_cast<std::size_t>(i)];
        most = std::max(most, std::abs(one));
        CHECK(std::abs(double(unit) * one - double(x(0, i))) <=
              double(unit) * (0.5 + 2 * levels * eps));
      }
      CHECK(most == levels);
    }
}

TEMPLATE_TEST_CASE("quantize_row: what has no code", "", simd::best, simd::scalar) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float odd : {infinity, -infinity, infinity - infinity})
    for (const heed::index at : {0, 5, 16, 20}) {
      auto x = matrix<float>::random(1, 21, 21);
      x(0, at) = odd;
      std::vector<std::int16_t> code(21, 7);
      CHECK(std::isnan(simd::quantize_row<TestType>(x.begin(), 21, 32767, code.data())));
      CHECK(code == std::vector<std::int16_t>(21, 0));
    }
  for (const float tiny : {0.0f, -0.0f, 1e-38f, -1e-45f}) {
    const std::vector<float> x(9, tiny);
    std::vector<std::int16_t> code(9, 7);
    CHECK(simd::quantize_row<TestType>(x.data(), 9, 32767, code.data()) == 0);
    CHECK(code == std::vector<std::int16_t>(9, 0));
  }
}

TEST_CASE("the largest sums of codes fit") {
  for (heed::index terms = 1; terms <= 100000; ++terms)
    REQUIRE(128 * terms * simd::integer_levels(terms) <= 0x7fffffff);
  CHECK(simd::integer_levels(512) == 32767);
  CHECK(simd::integer_levels(513) < 32767);
}

TEMPLATE_TEST_CASE("integer_scores = q k", "", simd::best, simd::scalar) {
  double worst = 0;
  for_sizes([&](heed::index rows, heed::index keys, heed::index depth) {
    const codes k(keys, depth, keys % 3, rows % 2 == 0);
    const auto q = matrix<float>::random(rows, depth, depth + keys % 4);
    const int levels = simd::integer_levels(depth);
    const heed::index pitch = depth + keys % 2;
    std::vector<std::int16_t> q_codes(static_cast<std::size_t>(rows * pitch), -32768);
    std::vector<float> unit;
    for (heed::index r = 0; r < rows; ++r)
      unit.push_back(simd::quantize_row<TestType>(q.begin() + r * q.stride, depth, levels,
                                                  q_codes.data() + r * pitch));
    q_codes.resize(static_cast<std::size_t>((rows - 1) * pitch + depth));
    matrix<float> s(rows, keys, keys + depth % 3);
    matrix<double> expected(rows, keys, keys);
    matrix<double> exact(rows, depth, depth);
    for (heed::index r = 0; r < rows; ++r)
      for (heed::index c = 0; c < depth; ++c) exact(r, c) = q(r, c);
    simd::integer_scores<TestType>(k.rows, keys, q_codes.data(), pitch, unit.data(), rows, depth,
                                   s.begin(), s.stride, keys % 2 ? 4096 : 0);
    simd::plain::row_scores(k.rows, keys, exact.begin(), depth, rows, depth, expected.begin(),
                            keys);
    INFO("rows " << rows << ", keys " << keys << ", depth " << depth);
    for (heed::index r = 0; r < rows; ++r) {
      double largest = 0;
      for (heed::index c = 0; c < depth; ++c) largest = std::max(largest, std::abs(exact(r, c)));
      for (heed::index j = 0; j < keys; ++j) {
        double sum = 0;
        for (heed::index c = 0; c < depth; ++c) sum += std::abs(k.code(j, c));
        const double bound = k.scale(j) * largest / (2.0 * levels) * sum * (1 + 4 * levels * eps);
        // Of the unit, the scale, the sum as a float, and two products.
        const double rounding = 5 * eps * std::abs(expected(r, j));
        const double error = std::abs(double(s(r, j)) - expected(r, j));
        REQUIRE(error <= bound + rounding);
        if (bound > 0) worst = std::max(worst, (error - rounding) / bound);
      }
    }
    REQUIRE(s.gaps_untouched());
  });
  CHECK(worst > 0.1);
}

TEMPLATE_TEST_CASE("integer_accumulate O += p v", "", simd::best, simd::scalar) {
  double worst = 0;
  for_sizes([&](heed::index rows, heed::index keys, heed::index channels) {
    const codes v(keys, channels, keys % 3, rows % 2 == 0);
    const auto p = matrix<float>::random(rows, keys, keys + channels % 3);
    const auto start = matrix<float>::random(rows, channels, channels + keys % 4);
    auto o = start;
    matrix<double> weights(rows, keys, keys), expected(rows, channels, channels);
    for (heed::index r = 0; r < rows; ++r) {
      for (heed::index j = 0; j < keys; ++j) weights(r, j) = p(r, j);
      for (heed::index d = 0; d < channels; ++d) expected(r, d) = start(r, d);
    }
    simd::integer_accumulate<TestType>(v.rows, keys, p.begin(), p.stride, rows, channels, o.begin(),
                                       o.stride, keys % 2 ? 4096 : 0);
    simd::plain::row_accumulate(v.rows, keys, weights.begin(), keys, rows, channels,
                                expected.begin(), channels);
    INFO("rows " << rows << ", keys " << keys << ", channels " << channels);
    for (heed::index r = 0; r < rows; ++r)
      for (heed::index d = 0; d < channels; ++d) {
        double bound = 0, size = std::abs(double(start(r, d)));
        for (heed::index first = 0; first < keys; first += simd::integer_keys) {
          double largest = 0, sum = 0;
          for (heed::index j = first; j < std::min(first + simd::integer_keys, keys); ++j) {
            largest = std::max(largest, std::abs(weights(r, j) * v.scale(j)));
            sum += std::abs(v.code(j, d));
            size += std::abs(weights(r, j) * v.scale(j) * v.code(j, d));
          }
          bound += largest / (2 * 32767.0) * sum * (1 + 4 * 32767 * eps);
        }
        const double rounding = (4 + double(keys / simd::integer_keys + 1)) * eps * size;
        const double error = std::abs(double(o(r, d)) - expected(r, d));
        REQUIRE(error <= bound + rounding);
        if (bound > 0) worst = std::max(worst, (error - rounding) / bound);
      }
    REQUIRE(o.gaps_untouched());
  });
  CHECK(worst > 0.1);
}

TEMPLATE_TEST_CASE("a weight of zero hides the scale, a NaN does not", "", simd::best,
                   simd::scalar) {
  const heed::index keys = 9, channels = 40;
  codes v(keys, channels, 0, false);
  auto p = matrix<float>::random(2, keys, keys);
  p(0, 4) = 0;
  v.scales[4] = std::numeric_limits<float>::quiet_NaN();
  auto o = matrix<float>::random(2, channels, channels);
  simd::integer_accumulate<TestType>(v.rows, keys, p.begin(), keys, 2, channels, o.begin(),
                                     channels);
  for (heed::index d = 0; d < channels; ++d) {
    CHECK_FALSE(std::isnan(o(0, d)));
    CHECK(std::isnan(o(1, d)));
  }
}
