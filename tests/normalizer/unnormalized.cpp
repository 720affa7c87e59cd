// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/unnormalized.hpp>
#include <heed/reference/normalizer/unnormalized.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = unnormalized{}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::unnormalized(s, a); });
  agree<T, Arch>(attention{.mask = causal{}, .normalizer = unnormalized{.over = 40}}, scaled_dot,
                 [](const auto& s, const auto& a, heed::index) {
                   return expected::unnormalized_over(s, a, 40);
                 });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = unnormalized{.by = divisor::count}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::unnormalized_mean(s, a); });
}

}  // namespace

TEST_CASE("unnormalized weighs by the exponential, float") { sweep<float>(); }
TEST_CASE("unnormalized weighs by the exponential, double") { sweep<double>(); }
TEST_CASE("unnormalized weighs by the exponential, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("unnormalized's derivative agrees with differences") {
  check_derivative(unnormalized{}, {0.3, -1.2, 2, 0});
  check_derivative(unnormalized{.over = 5, .by = divisor::count}, {0.3, -1.2, 2, 0});
}

TEST_CASE("unnormalized stays finite at any score") {
  float s[] = {1e4f, -1e4f, masked<float>, 88, -std::numeric_limits<float>::infinity()};
  const unnormalized given;
  const auto normalizer = steps_of(given);
  row_state<float> state = normalizer.start<float>({});
  float factor = 1;
  normalizer.absorb<simd::scalar>(s, 1, 5, state, factor);
  CHECK(std::isfinite(s[0]));
  CHECK(s[0] >= s[3]);
  CHECK(s[1] == 0);
  CHECK(s[2] == 0);
  CHECK(s[4] == 0);
}
