// SPDX-License-Identifier: BSL-1.0
#include <heed/simd/sincos.hpp>

#include "support/exact.hpp"

namespace simd = heed::simd;

namespace {

// Largest error of sine and cosine over `angles`, against the library in long double.
template <class T, class Arch> double worst(const std::vector<double>& angles) {
  double worst = 0;
  for (std::size_t i = 0; i < angles.size(); i += 31) {
    const auto count = std::min<heed::index>(31, heed::index(angles.size() - i));
    T s[simd::most_angles], c[simd::most_angles];
    simd::sincos<T, Arch>(1, angles.data() + i, count, 1, s, c);
    for (heed::index k = 0; k < count; ++k) {
      const long double x = angles[i + std::size_t(k)];
      worst = std::max(worst, double(std::abs((long double)(s[k]) - std::sin(x))));
      worst = std::max(worst, double(std::abs((long double)(c[k]) - std::cos(x))));
    }
  }
  return worst;
}

std::vector<double> angles() {
  std::vector<double> x{0, -0.0, 1e-300};
  for (int i = -2000; i <= 2000; ++i)
    x.push_back(i * 0.01), x.push_back(i * 0.78539816339744831), x.push_back(i * 523.7);
  for (int i = 0; i < 400; ++i) x.push_back(1e3 * std::exp2(i * 0.05) + 0.37);
  for (double& a : x) a = std::fmod(a, 1073741824.0);
  return x;
}

}  // namespace

TEST_CASE("sines and cosines of angles up to 2^30") {
  // Half an ulp of float below 1 is 3e-8. In double the angle is exact here, and the sum takes a
  // few ulp.
  CHECK(worst<float, simd::best>(angles()) < 3.1e-8);
  CHECK(worst<double, simd::best>(angles()) < 4e-16);
  CHECK(worst<float, simd::scalar>(angles()) < 3.1e-8);
  CHECK(worst<double, simd::scalar>(angles()) < 2e-16);
}

TEST_CASE("any number of angles, scaled, and nothing beyond them written") {
  for (heed::index count = 0; count <= simd::most_angles; ++count) {
    std::vector<double> theta;
    for (heed::index c = 0; c < count; ++c) theta.push_back(std::pow(0.7, double(c)));
    std::vector<float> s(std::size_t(count) + 8, 7), c(s);
    simd::sincos<float, simd::best>(5, theta.data(), count, 1.5, s.data(), c.data());
    for (std::size_t i = 0; i < s.size(); ++i)
      if (i < theta.size()) {
        CHECK(s[i] == Approx(1.5 * std::sin(5 * theta[i])).margin(1e-7));
        CHECK(c[i] == Approx(1.5 * std::cos(5 * theta[i])).margin(1e-7));
      } else {
        CHECK((s[i] == 7 && c[i] == 7));
      }
  }
}

TEST_CASE("angles of consecutive positions, stepped from the first") {
  constexpr heed::index most = simd::most_positions, angles = simd::most_angles;
  double worst = 0;
  for (const double first : {0.0, -16.0, 48.0, 131056.0})
    for (heed::index count = 1; count <= angles; ++count) {
      std::vector<double> theta;
      for (heed::index c = 0; c < count; ++c) theta.push_back(std::pow(0.75, double(c)));
      const heed::index skip = count % most, rows = skip + (most - skip) / 2;
      std::vector<float> s(std::size_t(most * angles) + 1, 7), c(s);
      simd::sincos_rows<simd::best>(first, skip, rows, theta.data(), count, 1.5, s.data(),
                                    c.data());
      for (heed::index row = 0; row < most; ++row)
        for (heed::index i = 0; i < angles; ++i) {
          const auto at = std::size_t(row * angles + i);
          if (row < rows - skip && i < count) {
            const long double x = (long double)(first + double(skip + row)) * theta[std::size_t(i)];
            worst = std::max(worst, double(std::abs((long double)(s[at]) - 1.5L * std::sin(x))));
            worst = std::max(worst, double(std::abs((long double)(c[at]) - 1.5L * std::cos(x))));
          } else {
            REQUIRE((s[at] == 7 && c[at] == 7));
          }
        }
    }
  // Half an ulp of float between 1 and 2 is 6e-8; the steps in double must not show.
  CHECK(worst < 6.0e-8);
}
