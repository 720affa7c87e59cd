// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/taylor.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("taylor by scan and by step", "", float, double) {
  for (const int order : {1, 2})
    check_named<TestType>(
        "taylor", [order](const auto&) { return heed::recurrences::taylor(order); },
        [order](const auto& h) {
          return rec::taylor(h.q(), h.k(), h.v(), order, true, 1e-12, h.initial);
        },
        false, {{1, 1}, {3, 16}, {5, 3}, {16, 37}});
}
