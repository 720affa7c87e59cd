// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/reference/normalizer/signed_softmax.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = signed_softmax{}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::signed_softmax(s, a); });
  // Magnitudes that grow from tile to tile, and far beyond the range of exp.
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = signed_softmax{}, .scale = 1e3},
      [](const auto& q, const auto& k, heed::index) { return (1e3 * (q * k.transpose())).eval(); },
      [](const auto& s, const auto& a, heed::index) { return expected::signed_softmax(s, a); });
}

}  // namespace

TEST_CASE("signed softmax keeps the sign of the score, float") { sweep<float>(); }
TEST_CASE("signed softmax keeps the sign of the score, double") { sweep<double>(); }
TEST_CASE("signed softmax keeps the sign of the score, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("signed softmax's derivative agrees with differences") {
  check_derivative(signed_softmax{}, {0.3, -1.2, 4, -3.5});
}

TEST_CASE("signed softmax gives masked scores weight zero and no place in the sum") {
  double s[] = {2, masked<double>, -1, 0, -std::numeric_limits<double>::infinity()};
  row_state<double> state = signed_softmax{}.start<double>({});
  double factor = 1;
  signed_softmax{}.absorb<simd::scalar>(s, 1, 5, state, factor);
  const double f = signed_softmax{}.finish(state), sum = std::exp(2) + std::exp(1) + 1;
  CHECK(s[0] * f == Approx(std::exp(2) / sum));
  CHECK(s[1] == 0);
  CHECK(s[2] * f == Approx(-std::exp(1) / sum));
  CHECK(s[3] == 0);
  CHECK(s[4] == 0);
  CHECK(signed_softmax{}.lse(state) == Approx(std::log(sum)));
}
