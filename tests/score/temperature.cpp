// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/temperature.hpp>
#include <heed/score/temperature.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::score;

namespace {

tensor<float> taus(const heed::extents& e) {
  auto t = random<float>(e, 5);
  for (float& x : t.data) x = 0.5f + std::abs(x);
  return t;
}

}  // namespace

TEST_CASE("temperature divides by one number a head") {
  const auto tau = taus({1, 6, 1, 1});
  const auto make = [&](const lengths& x) {
    return heed::temperature{heed::view<const float>(tau.in().data, {1, x.h, 1, 1})};
  };
  const auto expected = [&](const Eigen::MatrixXd& s, const one_head& head) {
    return reference::temperature(s, double(tau.in()(0, head.h, 0)));
  };
  agree_scores<float>(make, expected);
  agree_scores<double>(make, expected);
  agree_scores<float, heed::simd::scalar>(make, expected);
}

TEST_CASE("temperature divides by one number a head and row") {
  tensor<float> tau({0, 0, 0, 0});
  agree_scores<float>(
      [&](const lengths& x) {
        tau = taus({x.b, x.h, x.lq, 1});
        return heed::temperature{std::as_const(tau).in()};
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::temperature(s, heed::reference::vector(tau.head(head.b, head.h).col(0)));
      });
}

TEST_CASE("scalable softmax multiplies by the logarithm of the number of keys") {
  const auto a = taus({1, 6, 1, 1});
  for (const heed::index keys : {0, 50})
    agree_scores<float>(
        [&](const lengths& x) {
          return heed::scalable_softmax{heed::view<const float>(a.in().data, {1, x.h, 1, 1}), keys};
        },
        [&](const Eigen::MatrixXd& s, const one_head& head) {
          heed::reference::vector n(s.rows());
          for (heed::index i = 0; i < s.rows(); ++i)
            n(i) = double(keys ? keys : std::max<heed::index>(i + head.x.offset() + 1, 1));
          return reference::ssmax(s, double(a.in()(0, head.h, 0)), n);
        },
        64);
}

TEST_CASE("temperatures have the derivative that they multiply by") {
  const auto tau = taus({1, 1, 1, 1});
  check_grad(heed::temperature{tau.in()}, {-2, 0, 3});
  heed::point<double> at{};
  at.q = 9;
  check_grad(heed::scalable_softmax{tau.in()}, {-2, 0, 3}, at);
  CHECK(heed::length_scale(4096, 4096, 64) == Approx(0.125));
  CHECK(heed::length_scale(1024, 4096, 64) == Approx(reference::length_scale(1024, 4096, 64)));
}

TEST_CASE("temperature refuses what does not broadcast") {
  const auto tau = taus({1, 3, 1, 1});
  check_refused(heed::attention{.score = heed::temperature{tau.in()}},
                "tau is [1, 3, 1, 1], but must broadcast to [2, 4, 3, 1]");
  check_refused(heed::attention{.score = heed::temperature{}}, "without data");
  check_refused(heed::attention{.score = heed::scalable_softmax{tau.in()}},
                "heed::scalable_softmax: a is");
  const auto a = taus({1, 4, 1, 1});
  check_refused(heed::attention{.score = heed::scalable_softmax{a.in(), -1}},
                "keys must not be negative");
}
