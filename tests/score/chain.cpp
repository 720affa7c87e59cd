// SPDX-License-Identifier: BSL-1.0
// Chains apply left to right, and their slope is the product along them.
#include <heed/score/alibi.hpp>
#include <heed/score/clamp.hpp>
#include <heed/score/softcap.hpp>

#include "support/catch.hpp"

namespace {

const std::vector<float> slopes = heed::alibi_slopes(4);
const heed::point<double> where{.h = 2, .q = 3, .k = 7, .row = 3, .slot = 7};

template <class S> void check_slope(const S& score, std::initializer_list<double> at) {
  for (const double s : at) {
    const double h = 1e-6;
    const double difference =
        (heed::applied(score, s + h, where) - heed::applied(score, s - h, where)) / (2 * h);
    CHECK(heed::slope(score, s, where) == Approx(difference).margin(1e-8));
  }
}

}  // namespace

TEST_CASE("A chain applies left to right") {
  const auto chain = heed::softcap{2} | heed::alibi{slopes};
  CHECK(heed::applied(chain, 5.0, where) == Approx(2 * std::tanh(2.5) + 4 * double(slopes[2])));
  const auto other = heed::alibi{slopes} | heed::softcap{2};
  CHECK(heed::applied(other, 5.0, where) == Approx(2 * std::tanh((5 + 4 * double(slopes[2])) / 2)));
}

TEST_CASE("The slope of a chain is the product of its slopes") {
  check_slope(heed::softcap{2}, {-3, -0.2, 0, 1, 4});
  check_slope(heed::softcap{2} | heed::alibi{slopes}, {-3, -0.2, 0, 1, 4});
  check_slope(heed::alibi{slopes} | heed::softcap{3} | heed::softcap{1}, {-3, -0.2, 0, 1, 4});
  check_slope(heed::softcap{3} | heed::clamp{-1, 1} | heed::alibi{slopes}, {-3, -0.2, 0, 0.5, 4});
  check_slope(heed::none{}, {1});
}
