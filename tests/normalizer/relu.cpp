// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/relu.hpp>
#include <heed/reference/normalizer/relu.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = relu{}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::relu(s, a, 1, 1); });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = relu{.over = 300}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::relu(s, a, 1, 300); });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = relu{.power = 2, .over = 7}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::relu(s, a, 2, 7); });
  agree<T, Arch>(attention{.mask = causal{}, .normalizer = relu{.power = 2, .by = divisor::count}},
                 scaled_dot, [](const auto& s, const auto& a, heed::index) {
                   return expected::divide_rows(expected::relu(s, a, 2, 1), expected::counts(a));
                 });
}

}  // namespace

TEST_CASE("relu weighs by the positive part, once or squared, float") { sweep<float>(); }
TEST_CASE("relu weighs by the positive part, once or squared, double") { sweep<double>(); }
TEST_CASE("relu weighs by the positive part, once or squared, one lane") {
  sweep<float, simd::scalar>();
}

TEST_CASE("relu's derivative agrees with differences") {
  check_derivative(relu{}, {0.3, -1.2, 4, -30});
  check_derivative(relu{.power = 2, .over = 3, .by = divisor::count}, {0.3, -1.2, 4, -30});
  check_derivative(relu{.power = 2, .by = divisor::sum}, {0.3, -1.2, 4, -30});
}

TEST_CASE("relu refuses other powers and divisors") {
  CHECK_THROWS_WITH(relu{.power = 3}.check({}),
                    Catch::Matchers::ContainsSubstring("power must be 1 or 2, not 3"));
  CHECK_THROWS_AS(relu{.over = 0}.check({}), std::invalid_argument);
}
