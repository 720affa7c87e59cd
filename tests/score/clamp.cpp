// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/clamp.hpp>
#include <heed/score/clamp.hpp>

#include "support/scores.hpp"

using namespace heed::test;

TEST_CASE("clamp keeps scores between its bounds") {
  const auto make = [](const lengths&) { return heed::clamp{-0.5, 1}; };
  const auto expected = [](const Eigen::MatrixXd& s, const one_head&) {
    return heed::reference::score::clamp(s, -0.5, 1);
  };
  agree_scores<float>(make, expected);
  agree_scores<double>(make, expected);
  agree_scores<float, heed::simd::scalar>(make, expected);
}

TEST_CASE("clamp has one open end if asked") {
  const heed::point<double> at{};
  CHECK(heed::clamp{.highest = 5}(-1e300, at) == -1e300);
  CHECK(heed::clamp{.highest = 5}(7.0, at) == 5);
  CHECK(std::isnan(heed::clamp{-1, 1}(std::nan(""), at)));
}

TEST_CASE("clamp has the derivative 1 inside and 0 outside") {
  check_grad(heed::clamp{-1, 2}, {-3, -0.9, 0, 1.9, 2.1});
}

TEST_CASE("clamp refuses bounds in the wrong order") {
  check_refused(heed::attention{.score = heed::clamp{2, -2}}, "heed::clamp: the lowest score 2");
}
