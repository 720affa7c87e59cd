// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/alibi.hpp>
#include <heed/reference/score/clamp.hpp>
#include <heed/reference/score/softcap.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/clamp.hpp>
#include <heed/score/softcap.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::score;

TEST_CASE("softcap is c tanh(s / c)") {
  const auto make = [](const lengths&) { return heed::softcap{1.5}; };
  const auto expected = [](const Eigen::MatrixXd& s, const one_head&) {
    return reference::softcap(s, 1.5);
  };
  agree_scores<float>(make, expected);
  agree_scores<double>(make, expected);
  agree_scores<float, heed::simd::scalar>(make, expected);
}

TEST_CASE("modifiers and lambdas of both forms chain from left to right") {
  const auto slopes = heed::alibi_slopes(6);
  const auto make = [&](const lengths& x) {
    return heed::softcap{2} | heed::alibi{{slopes.data(), std::size_t(x.h)}} | [](auto s, auto at) {
      return s * 0.5f + (at.k - at.q) * 0.0625f;
    } | [](auto s, const heed::position& at) {
      return s + 0.25f * float(at.slot % 3 + at.row % 2 + at.h);
    } | heed::clamp{-3, 4};
  };
  agree_scores<float>(
      make,
      [&](const Eigen::MatrixXd& dot, const one_head& head) {
        Eigen::MatrixXd s = reference::alibi(reference::softcap(dot, 2),
                                             slopes[std::size_t(head.h)], head.x.offset());
        for (heed::index i = 0; i < s.rows(); ++i)
          for (heed::index j = 0; j < s.cols(); ++j)
            s(i, j) = s(i, j) * 0.5 + double(j - i - head.x.offset()) * 0.0625 +
                      0.25 * double(j % 3 + i % 2 + head.h);
        return reference::clamp(s, -3, 4);
      },
      16);
}

TEST_CASE("softcap stays finite and saturates") {
  const heed::softcap cap{30};
  const heed::point<float> at{};
  CHECK(cap(1e4f, at) == 30.0f);
  CHECK(cap(-1e4f, at) == -30.0f);
  CHECK(cap(-std::numeric_limits<float>::infinity(), at) == -30.0f);
  CHECK(cap(1e-30f, at) == Approx(1e-30f).epsilon(1e-6));
}

TEST_CASE("softcap has the derivative 1 - tanh²") {
  check_grad(heed::softcap{3}, {-40, -3, -0.1, 0, 0.7, 5});
}

TEST_CASE("softcap refuses a cap that is not positive") {
  check_refused(heed::attention{.score = heed::softcap{0}},
                "heed::softcap: the cap must be positive");
  check_refused(heed::attention{.score = heed::clamp{} | heed::softcap{-1}},
                "heed::softcap: the cap must be positive");
}
