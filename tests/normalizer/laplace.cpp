// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/laplace.hpp>
#include <heed/reference/normalizer/laplace.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(attention{.mask = causal{}, .normalizer = laplace{}}, scaled_dot,
                 [](const auto& s, const auto& a, heed::index) { return expected::laplace(s, a); });
}

}  // namespace

TEST_CASE("laplace weighs by the error function, float") { sweep<float>(); }
TEST_CASE("laplace weighs by the error function, double") { sweep<double>(); }
TEST_CASE("laplace weighs by the error function, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("laplace's derivative agrees with differences") {
  check_derivative(laplace{}, {0.3, -1.2, 1, 0.7});
  check_derivative(laplace{.mean = 0, .deviation = 2}, {0.3, -1.2, 4, 0});
}

TEST_CASE("laplace refuses a deviation of zero") {
  CHECK_THROWS_AS(laplace{.deviation = 0}.check({}), std::invalid_argument);
}
