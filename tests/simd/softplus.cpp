// SPDX-License-Identifier: BSL-1.0
// softplus, SiLU and its slope against double, small results to as many digits as large ones.
#include <heed/simd/softplus.hpp>

#include "support/exact.hpp"

namespace simd = heed::simd;

namespace {

// In roundings of the result: e^-|x| 1.5, two quotients and three sums.
template <class T, class Arch> void check_softplus() {
  using B = simd::batch<T, Arch>;
  constexpr auto W = std::size_t(simd::width<T, Arch>);
  const double deepest = std::is_same_v<T, float> ? 87 : 700;
  double worst = 0, worst_silu = 0, worst_slope = 0;
  for (double x = -deepest; x<800; x += x> - 4 && x < 4 ? 1.0 / 512 : 0.37) {
    const T at = static_cast<T>(x);
    T got[W], silu[W], slope[W];
    simd::store(got, simd::softplus(B(at)));
    simd::store(silu, simd::silu(B(at)));
    simd::store(slope, simd::silu_slope(B(at)));
    using wide = long double;
    const wide y = at, s = 1 / (1 + std::exp(-y));
    const wide expected = std::max<wide>(y, 0) + std::log1p(std::exp(-std::abs(y)));
    const auto off = [&](wide g, wide e, wide scale) {
      return double(std::abs(g - e) / (scale * std::numeric_limits<T>::epsilon()));
    };
    worst = std::max(worst, off(got[W - 1], expected, expected));
    worst_silu = std::max(worst_silu, off(silu[0], y * s, std::abs(y * s) + 1e-30L));
    worst_slope = std::max(worst_slope,
                           off(slope[0], s * (1 + y * (1 - s)), s * (1 + std::abs(y) * (1 - s))));
  }
  INFO(sizeof(T) << " bytes, " << W << " lanes");
  CHECK(worst < 4);
  CHECK(worst_silu < 4);
  CHECK(worst_slope < 6);
}

}  // namespace

TEST_CASE("softplus and SiLU") {
  check_softplus<float, simd::best>();
  check_softplus<double, simd::best>();
  check_softplus<float, simd::scalar>();
  check_softplus<double, simd::scalar>();
}

TEST_CASE("softplus far out") {
  using B = simd::batch<float, simd::best>;
  const float infinity = std::numeric_limits<float>::infinity();
  const auto at = [](float x) {
    float y[64];
    simd::store(y, simd::softplus(B(x)));
    return y[0];
  };
  CHECK(at(-infinity) == 0);
  CHECK(at(-1000) == 0);
  CHECK(at(1e30f) == 1e30f);
  CHECK(at(infinity) == infinity);
  CHECK(std::isnan(at(NAN)));
}
