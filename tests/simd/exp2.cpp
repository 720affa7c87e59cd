// SPDX-License-Identifier: BSL-1.0
#include <bit>
#include <heed/simd/exp2.hpp>
#include <heed/simd/rows.hpp>
#include <limits>

#include "support/catch.hpp"

using namespace heed;

namespace {

using batch = simd::batch<float, simd::best>;
constexpr heed::index W = simd::width<float, simd::best>;

// Floats in order: consecutive integers are neighbours.
std::int64_t rank(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits < 0 ? std::int64_t{std::numeric_limits<std::int32_t>::min()} - bits : bits;
}
float nth(std::int64_t r) {
  return std::bit_cast<float>(static_cast<std::int32_t>(
      r < 0 ? std::int64_t{std::numeric_limits<std::int32_t>::min()} - r : r));
}

// More rounding where no multiply-add is fused.
constexpr double slack = heed::simd::fused ? 0 : 0.5;
// xsimd's division on NEON is a product with a reciprocal, not rounded once.
#if defined(__ARM_NEON)
constexpr double division = 1;
#else
constexpr double division = 0;
#endif

// Largest error over every `stride`-th float of [low, high], in units in the last place of the
// exact result; results below the normal range count in the last place of the smallest normal.
template <class F, class G>
double worst_ulp(float low, float high, F f, G exact, std::int64_t stride = 101) {
  double worst = 0;
  for (std::int64_t r = rank(low); r <= rank(high); r += stride * W) {
    float x[W], y[W];
    for (heed::index i = 0; i < W; ++i) x[i] = nth(std::min(r + stride * i, rank(high)));
    simd::store(y, f(simd::load<float, simd::best>(x)));
    for (heed::index i = 0; i < W; ++i) {
      const double e = exact(double(x[i]));
      const double unit = std::ldexp(1.0, std::max(std::ilogb(e), -126) - 23);
      const double off = std::abs(double(y[i]) - e) / unit;
      if (!(off <= worst)) worst = off;
    }
  }
  return worst;
}

const auto exp2_of = [](auto x) { return simd::exp2(x); };
const auto exp_of = [](auto x) { return simd::exp(x); };
const auto sigmoid_of = [](auto x) { return simd::sigmoid(x); };
const auto tanh_of = [](auto x) { return simd::tanh(x); };

// Vector and single number at once.
template <class T, class F> void check_at(F f, T x, T expected) {
  const auto all = f(simd::batch<T, simd::best>(x));
  T lanes[simd::width<T, simd::best>];
  simd::store(lanes, all);
  INFO("f(" << x << ") = " << lanes[0] << " or " << f(x) << ", not " << expected);
  const auto same = [&](T y) { return expected != expected ? y != y : y == expected; };
  for (T y : lanes) CHECK(same(y));
  CHECK(same(f(x)));
}

}  // namespace

TEST_CASE("exp2 in float is within 1 ulp") {
  CHECK(worst_ulp(-126, 127, exp2_of, [](double x) { return std::exp2(x); }) < 1 + slack);
  CHECK(worst_ulp(-126.5f, -126, exp2_of, [](double x) { return std::exp2(x); }) < 1 + slack);
  CHECK(worst_ulp(-1, 1, exp2_of, [](double x) { return std::exp2(x); }, 31) < 1 + slack);
}

TEST_CASE("exp in float is within 1.2 ulp") {
  CHECK(worst_ulp(-87.3f, 88, exp_of, [](double x) { return std::exp(x); }) < 1.2 + slack);
}

TEST_CASE("sigmoid in float is within 2.5 ulp") {
  CHECK(worst_ulp(-87.3f, 100, sigmoid_of, [](double x) { return 1 / (1 + std::exp(-x)); }) <
        2.5 + slack + division);
}

TEST_CASE("tanh in float is within 1.5 ulp") {
  // One lane calls the C library; glibc's is within 3 ulp.
  constexpr double library = std::is_same_v<heed::simd::best, heed::simd::scalar> ? 1 : 0;
  CHECK(worst_ulp(-100, 100, tanh_of, [](double x) { return std::tanh(x); }) <
        1.5 + slack + division + library);
}

TEMPLATE_TEST_CASE("exp2, exp, sigmoid and tanh at their special points", "", float, double) {
  using T = TestType;
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  const T lowest = std::is_same_v<T, float> ? T(-126.51) : T(-1022.5);
  check_at(exp2_of, T(0), T(1));
  check_at(exp2_of, T(1), T(2));
  check_at(exp2_of, T(-3), T(0.125));
  check_at(exp2_of, lowest, T(0));
  check_at(exp2_of, T(-1e30), T(0));
  check_at(exp2_of, -inf, T(0));
  check_at(exp2_of, nan, nan);
  check_at(exp_of, T(0), T(1));
  check_at(exp_of, T(-1e30), T(0));
  check_at(exp_of, -inf, T(0));
  check_at(exp_of, nan, nan);
  CHECK(std::isfinite(exp_of(inf)));
  CHECK(exp_of(inf) >= (std::is_same_v<T, float> ? T(1e38) : T(1e307)));
  check_at(sigmoid_of, T(0), T(0.5));
  check_at(sigmoid_of, inf, T(1));
  check_at(sigmoid_of, -inf, T(0));
  check_at(sigmoid_of, nan, nan);
  check_at(tanh_of, T(0), T(0));
  check_at(tanh_of, inf, T(1));
  check_at(tanh_of, -inf, T(-1));
  check_at(tanh_of, nan, nan);
}

TEST_CASE("the double forms are within 4 ulp of the library's") {
  using D = simd::batch<double, simd::best>;
  const auto near = [](D got, double expected) {
    double lanes[simd::width<double, simd::best>];
    simd::store(lanes, got);
    return std::abs(lanes[0] - expected) <=
           4 * std::numeric_limits<double>::epsilon() * std::abs(expected);
  };
  for (double x = -700; x < 700; x += 0.3711) {
    INFO(x);
    CHECK(near(simd::exp2(D(x)), std::exp2(x)));
    CHECK(near(simd::exp(D(x)), std::exp(x)));
    CHECK(near(simd::sigmoid(D(x / 10)), 1 / (1 + std::exp(-x / 10))));
    CHECK(near(simd::tanh(D(x / 300)), std::tanh(x / 300)));
  }
}

TEST_CASE("rows are mapped and summed whole, tails included") {
  for (heed::index n = 0; n < 40; ++n) {
    std::vector<float> x(static_cast<std::size_t>(n) + 1, -1), y(x.size(), 1);
    for (heed::index i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = float(i);
    simd::map_row<simd::best>(x.data(), n, [](auto v) { return v + v; });
    CHECK(simd::sum_of_squares<simd::best>(x.data(), n) ==
          float(4 * (n - 1) * n * (2 * n - 1) / 6));
    simd::add_scaled<simd::best>(3.0f, x.data(), n, y.data());
    for (heed::index i = 0; i < n; ++i) CHECK(y[static_cast<std::size_t>(i)] == 1 + 6 * float(i));
    CHECK(x.back() == -1);
    CHECK(y.back() == 1);
  }
}
