// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/rwkv7.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("rwkv7 by scan and by step", "", float, double) {
  check_named<TestType>(
      "rwkv7",
      [](const auto& x) { return heed::recurrences::rwkv7(x.channels.in(), x.a.in(), x.b.in()); },
      [](const auto& h) {
        return rec::low_rank(h.q(), h.k(), h.v(), h.of(h.x.channels), h.of(h.x.a), h.of(h.x.b),
                             h.initial);
      });
}
