// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/kda.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("kda by scan and by step", "", float, double) {
  check_named<TestType>(
      "kda",
      [](const auto& x) { return heed::recurrences::kda(x.channels.in(), x.beta.in(), x.shape.d); },
      [](const auto& h) {
        return rec::kda(h.q(), h.k(), h.v(), h.of(h.x.channels), h.vector(h.x.beta), h.initial,
                        1 / std::sqrt(double(h.x.shape.d)));
      });
}
