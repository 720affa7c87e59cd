// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/ssd.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("ssd by scan and by step", "", float, double) {
  check_named<TestType>(
      "ssd", [](const auto& x) { return heed::recurrences::ssd(x.log.in()); },
      [](const auto& h) {
        // Δ = log α / A, and v = Δx.
        const double rate = -0.5;
        const VectorXd delta = h.vector(h.x.log) / rate;
        return rec::ssd(h.q(), h.k(), delta.cwiseInverse().asDiagonal() * h.v(), delta, rate, 0,
                        h.initial);
      });
}
