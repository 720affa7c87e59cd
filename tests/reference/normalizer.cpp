// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/mask/full.hpp>
#include <heed/reference/normalizer/custom.hpp>
#include <heed/reference/normalizer/elu1.hpp>
#include <heed/reference/normalizer/laplace.hpp>
#include <heed/reference/normalizer/linear.hpp>
#include <heed/reference/normalizer/relu.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/signed_softmax.hpp>
#include <heed/reference/normalizer/sink_softmax.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/normalizer/unnormalized.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"

using namespace heed::reference;
using namespace heed::reference::normalizer;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

/// One row of scores.
matrix row(std::initializer_list<double> s) {
  matrix out(1, static_cast<Eigen::Index>(s.size()));
  std::copy(s.begin(), s.end(), out.data());
  return out;
}

allowed only(std::initializer_list<bool> keys) {
  allowed out(1, static_cast<Eigen::Index>(keys.size()));
  std::copy(keys.begin(), keys.end(), out.data());
  return out;
}

void check(const matrix& p, std::initializer_list<double> expected) {
  REQUIRE(p.size() == static_cast<Eigen::Index>(expected.size()));
  Eigen::Index j = 0;
  for (double e : expected) CHECK(p.data()[j++] == Approx(e).margin(1e-15));
}

}  // namespace

TEST_CASE("softmax of logarithms is their share") {
  const matrix s = row({std::log(1.0), std::log(3.0), std::log(4.0)});
  check(softmax(s, mask::full(1, 3)), {0.125, 0.375, 0.5});
  CHECK(lse(s, mask::full(1, 3))(0) == Approx(std::log(8.0)));
  check(softmax(s, only({true, true, false})), {0.25, 0.75, 0});
}

TEST_CASE("softmax of a row without keys is zero, its lse minus infinity") {
  check(softmax(row({1, 2}), only({false, false})), {0, 0});
  CHECK(lse(row({1, 2}), only({false, false}))(0) == -infinity);
  check(softmax(row({-infinity, -infinity}), mask::full(1, 2)), {0, 0});
  CHECK(softmax(matrix(3, 0), allowed(3, 0)).size() == 0);
  CHECK(lse(matrix(3, 0), allowed(3, 0)) == vector::Constant(3, -infinity));
}

TEST_CASE("softmax never reads a masked score, and stands large ones") {
  check(softmax(row({undefined, 2, infinity}), only({false, true, false})), {0, 1, 0});
  check(softmax(row({1e4, 1e4, -1e4}), mask::full(1, 3)), {0.5, 0.5, 0});
  check(softmax(row({-infinity, 1}), mask::full(1, 2)), {0, 1});
}

TEST_CASE("sink_softmax keeps mass for the sink") {
  const matrix s = row({std::log(1.0), std::log(3.0)});
  check(sink_softmax(s, mask::full(1, 2), std::log(4.0)), {0.125, 0.375});
  CHECK(sink_lse(s, mask::full(1, 2), std::log(4.0))(0) == Approx(std::log(8.0)));
  check(sink_softmax(s, mask::full(1, 2), 0), {0.2, 0.6});
  check(sink_softmax(s, mask::full(1, 2), -infinity), {0.25, 0.75});
  check(sink_softmax(s, only({false, false}), 1.5), {0, 0});
  CHECK(sink_lse(s, only({false, false}), 1.5)(0) == Approx(1.5));
  CHECK(sink_softmax(matrix(2, 0), allowed(2, 0), 1).size() == 0);
  CHECK(sink_softmax(matrix(0, 2), allowed(0, 2), 1).size() == 0);
}

TEST_CASE("sigmoid") {
  const matrix s = row({0, std::log(3.0), 7});
  const allowed a = only({true, true, false});
  check(sigmoid(s, a, 0), {0.5, 0.75, 0});
  check(sigmoid(s, a, -std::log(3.0)), {0.25, 0.5, 0});
  check(sigmoid_normalized(s, a, 0), {0.4, 0.6, 0});
  check(sigmoid_normalized(s, only({false, false, false}), 0), {0, 0, 0});
}

TEST_CASE("relu") {
  check(relu(row({-1, 2, 3}), mask::full(1, 3), 1, 1), {0, 2, 3});
  check(relu(row({-1, 2, 3}), only({true, true, false}), 2, 4), {0, 1, 0});
}

TEST_CASE("elu1 is continuous at zero and normalises") {
  check(elu1(row({1, 0, -std::log(2.0), undefined}), only({true, true, true, false})),
        {2, 1, 0.5, 0});
  check(elu1_normalized(row({1, 0, 0}), mask::full(1, 3)), {0.5, 0.25, 0.25});
}

TEST_CASE("linear in its four finishes") {
  const matrix s = row({-1, 2, 3});
  check(linear(s, only({true, true, false})), {-1, 2, 0});
  check(linear_mean(s, only({true, true, false})), {-0.5, 1, 0});
  check(linear_sum(s, mask::full(1, 3)), {-0.25, 0.5, 0.75});
  check(linear_sum(row({-1, -3}), mask::full(1, 2)), {0.25, 0.75});
  check(linear_bounded(s, mask::full(1, 3)), {-0.25, 0.5, 0.75});
  check(linear_bounded(row({-1, -3}), mask::full(1, 2)), {-0.25, -0.75});
  check(linear_bounded(row({0.25, 0.5}), mask::full(1, 2)), {0.25, 0.5});
  check(linear_mean(s, only({false, false, false})), {0, 0, 0});
}

TEST_CASE("unnormalized in its three finishes") {
  const matrix s = row({0, std::log(3.0), undefined});
  const allowed a = only({true, true, false});
  check(unnormalized(s, a), {1, 3, 0});
  check(unnormalized_mean(s, a), {0.5, 1.5, 0});
  check(unnormalized_over(s, a, 4), {0.25, 0.75, 0});
}

TEST_CASE("laplace at its centre and one deviation away") {
  const double mu = std::sqrt(0.5), sigma = 1 / std::sqrt(4 * 3.14159265358979323846);
  check(laplace(row({mu, mu + sigma, mu - sigma}), mask::full(1, 3)),
        {0.5, 0.84134474606854293, 0.15865525393145707});
}

TEST_CASE("signed_softmax weighs by magnitude and keeps the sign") {
  const matrix s = row({std::log(3.0), -std::log(4.0), 0, undefined});
  check(signed_softmax(s, only({true, true, true, false})), {0.375, -0.5, 0, 0});
}

TEST_CASE("custom divides any weight by its sum") {
  const auto square = [](double x) { return x * x; };
  check(custom(row({1, 2, 5}), only({true, true, false}), square), {0.2, 0.8, 0});
  check(custom(row({1, 2}), only({false, false}), square), {0, 0});
}
