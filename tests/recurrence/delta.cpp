// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/delta.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("delta by scan and by step", "", float, double) {
  check_named<TestType>(
      "delta", [](const auto& x) { return heed::recurrences::delta(x.beta.in(), 0.5); },
      [](const auto& h) {
        return rec::delta(h.q(), h.k(), h.v(), h.vector(h.x.beta), h.initial, 0.5);
      });
}
