// SPDX-License-Identifier: BSL-1.0
#include <heed/simd/log.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace {

template <class T, class Arch> T log_of(T x) {
  constexpr heed::index W = heed::simd::width<T, Arch>;
  T each[W];
  std::fill_n(each, W, T(1));
  each[W - 1] = x;
  const auto y = heed::simd::log(heed::simd::batch<T, Arch>(heed::simd::load<T, Arch>(each)));
  heed::simd::store(each, y);
  return each[W - 1];
}

// In units of the last place of the result; near 1 of the argument's distance from 1.
template <class T, class Arch> double worst_error() {
  double worst = 0;
  std::mt19937 bits(7);
  for (int i = 0; i < 200000; ++i) {
    const int exponent = static_cast<int>(bits() % 250) - 125;
    const T x =
        std::ldexp(T(1) + static_cast<T>(bits()) / T(4294967296.0), i % 3 ? exponent : i % 2 - 1);
    const double want = std::log(double(x)), got = double(log_of<T, Arch>(x));
    const double unit = double(std::numeric_limits<T>::epsilon()) * std::abs(want) / 2;
    if (want != 0) worst = std::max(worst, std::abs(got - want) / unit);
  }
  return worst;
}

}  // namespace

TEST_CASE("The logarithm is good to two units in the last place") {
  using best = heed::simd::best;
  CHECK(worst_error<float, best>() < 4);
  CHECK(worst_error<float, heed::simd::scalar>() < 4);
}

TEST_CASE("The logarithm at its ends") {
  const auto check = []<class T>(T) {
    using best = heed::simd::best;
    const T infinity = std::numeric_limits<T>::infinity();
    CHECK(log_of<T, best>(T(0)) == -infinity);
    CHECK(log_of<T, best>(T(1)) == T(0));
    CHECK(log_of<T, best>(infinity) == infinity);
    CHECK(std::isnan(log_of<T, best>(T(-1))));
    CHECK(std::isnan(log_of<T, best>(std::numeric_limits<T>::quiet_NaN())));
    const T least = std::numeric_limits<T>::denorm_min() * T(64);
    CHECK(double(log_of<T, best>(least)) == Approx(std::log(double(least))).epsilon(1e-6));
  };
  check(float{}), check(double{});
}
