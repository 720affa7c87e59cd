// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/mlstm.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("mlstm by scan and by step", "", float, double) {
  check_named<TestType>(
      "mlstm",
      [](const auto& x) { return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d); },
      [](const auto& h) {
        return rec::mlstm(h.q(), h.k(), h.v(), h.vector(h.x.log), h.vector(h.x.gain), h.initial,
                          1 / std::sqrt(double(h.x.shape.d)));
      });
}
