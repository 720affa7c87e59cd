// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/linear.hpp>
#include <heed/reference/normalizer/linear.hpp>
#include <heed/reference/similarity/feature_product.hpp>
#include <heed/similarity/feature_product.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(attention{.mask = causal{}, .normalizer = linear{}}, scaled_dot,
                 [](const auto& s, const auto& a, heed::index) { return expected::linear(s, a); });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = linear{.by = divisor::count}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::linear_mean(s, a); });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = linear{.by = divisor::bounded_sum}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::linear_bounded(s, a); });
}

}  // namespace

TEST_CASE("linear weighs by the score and its four divisors, float") { sweep<float>(); }
TEST_CASE("linear weighs by the score and its four divisors, double") { sweep<double>(); }
TEST_CASE("linear weighs by the score and its four divisors, one lane") {
  sweep<float, simd::scalar>();
}

TEST_CASE("linear's derivative agrees with differences") {
  check_derivative(linear{}, {0.3, -1.2, 4, 0});
  check_derivative(linear{.by = divisor::count}, {0.3, -1.2, 4, 0});
  check_derivative(linear{.by = divisor::sum}, {0.3, -1.2, 4, 0});
  check_derivative(linear{.by = divisor::bounded_sum}, {0.3, -1.2, 4, 0});
  check_derivative(linear{.by = divisor::bounded_sum}, {0.3, -1.2, -4, 0});
  check_derivative(linear{.by = divisor::bounded_sum}, {0.3, -0.2, 0.1, 0});
}

// Σ s may come as close to zero as it likes: scores of one sign keep the comparison meaningful.
TEST_CASE("linear over the row sum") {
  const attention spec{.mask = causal{},
                       .similarity = feature_product{elu1_feature{}},
                       .normalizer = linear{.by = divisor::sum}};
  const auto scores = [](const auto& q, const auto& k, heed::index) {
    return heed::reference::similarity::feature_product(q, k,
                                                        heed::reference::similarity::elu_plus_one);
  };
  agree<float>(spec, scores, [](const auto& s, const auto& a, heed::index) {
    return expected::linear_sum(s, a);
  });
}
