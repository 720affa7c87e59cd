// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/score/alibi.hpp>
#include <heed/score/alibi.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference;

TEST_CASE("slopes are those of the paper for any number of heads") {
  for (const heed::index heads : {1, 2, 3, 6, 8, 12, 16, 20, 31}) {
    const auto slopes = heed::alibi_slopes(heads);
    const auto expected = reference::score::alibi_slopes(heads);
    REQUIRE(slopes.size() == std::size_t(heads));
    for (std::size_t h = 0; h < slopes.size(); ++h)
      CHECK(slopes[h] == Approx(expected(Eigen::Index(h))).epsilon(1e-6));
  }
  CHECK(heed::alibi_slopes(8)[0] == 0.5f);
}

TEST_CASE("alibi adds slope times distance") {
  const auto slopes = heed::alibi_slopes(6);
  const auto make = [&](const lengths& x) {
    return heed::alibi{{slopes.data(), std::size_t(x.h)}};
  };
  const auto expected = [&](const Eigen::MatrixXd& s, const one_head& head) {
    return reference::score::alibi(s, slopes[std::size_t(head.h)], head.x.offset());
  };
  agree_scores<float>(make, expected, 128);
  agree_scores<double>(make, expected, 128);
  agree_scores<float, heed::simd::scalar>(make, expected, 128);
}

TEST_CASE("symmetric alibi falls to both sides") {
  const auto slopes = heed::alibi_slopes(6);
  agree_scores<float>(
      [&](const lengths& x) {
        return heed::alibi{{slopes.data(), std::size_t(x.h)}, heed::alibi_form::symmetric};
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::score::alibi_symmetric(s, slopes[std::size_t(head.h)], head.x.offset());
      },
      128);
}

TEST_CASE("alibi under a causal mask") {
  const auto slopes = heed::alibi_slopes(6);
  agree_by_head<float>(
      [&](const lengths& x) {
        return heed::attention{.mask = heed::causal{},
                               .score = heed::alibi{{slopes.data(), std::size_t(x.h)}}};
      },
      [&](const one_head& head) {
        const auto s =
            reference::score::alibi(head.dot(), slopes[std::size_t(head.h)], head.x.offset());
        return reference::attention(
            reference::normalizer::softmax(s, reference::mask::causal(head.x.lq, head.x.lk)),
            head.v);
      },
      128);
}

TEST_CASE("alibi refuses slopes that are not one a head") {
  const auto slopes = heed::alibi_slopes(3);
  check_refused(heed::attention{.score = heed::alibi{slopes}},
                "heed::alibi: there are 3 slopes for 4 query heads");
}
