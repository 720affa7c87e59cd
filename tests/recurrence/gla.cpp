// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/gla.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("gla by scan and by step", "", float, double) {
  check_named<TestType>(
      "gla", [](const auto& x) { return heed::recurrences::gla(x.channels.in(), x.shape.d); },
      [](const auto& h) {
        return rec::gla(h.q(), h.k(), h.v(), h.of(h.x.channels), h.initial,
                        1 / std::sqrt(double(h.x.shape.d)));
      });
}
