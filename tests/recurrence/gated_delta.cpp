// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/gated_delta.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("gated_delta by scan and by step", "", float, double) {
  check_named<TestType>(
      "gated_delta",
      [](const auto& x) {
        return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
      },
      [](const auto& h) {
        return rec::gated_delta(h.q(), h.k(), h.v(), h.vector(h.x.log), h.vector(h.x.beta),
                                h.initial, 1 / std::sqrt(double(h.x.shape.d)));
      });
}
