// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  for (const double b : {0.0, -std::log(300.0), 2.5}) {
    const auto plain = [b](const auto& s, const auto& a, heed::index) {
      return expected::sigmoid(s, a, b);
    };
    const auto by_sum = [b](const auto& s, const auto& a, heed::index) {
      return expected::sigmoid_normalized(s, a, b);
    };
    agree<T, Arch>(attention{.mask = causal{}, .normalizer = sigmoid{.bias = b}}, scaled_dot,
                   plain);
    agree<T, Arch>(
        attention{.mask = causal{}, .normalizer = sigmoid{.bias = b, .by = divisor::sum}},
        scaled_dot, by_sum);
  }
}

}  // namespace

TEST_CASE("sigmoid weighs each score by its logistic, float") { sweep<float>(); }
TEST_CASE("sigmoid weighs each score by its logistic, double") { sweep<double>(); }
TEST_CASE("sigmoid weighs each score by its logistic, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("sigmoid's derivative agrees with differences") {
  check_derivative(sigmoid{}, {0.3, -1.2, 4, 0, -30});
  check_derivative(sigmoid{.bias = -1, .by = divisor::sum}, {0.3, -1.2, 4, 0, -3});
}

TEST_CASE("divided by the sum, a row whose every weight underflows gives zeros") {
  const auto spec = attention{.normalizer = sigmoid{.by = divisor::sum}, .scale = 1};
  for (const auto& [score, expected] : {std::pair{-87.0, 3.0}, {-88.0, 0.0}}) {
    const tensor<float> q({1, 1, 5, 1}, 1), k({1, 1, 9, 1}, float(score)), v({1, 1, 9, 1}, 3);
    auto out = unwritten<float>({1, 1, 5, 1});
    attend(spec, q.in(), k.in(), v.in(), out.in());
    for (heed::index i = 0; i < 5; ++i) CHECK(out(0, 0, i) == Approx(expected).epsilon(1e-6));
  }
}
