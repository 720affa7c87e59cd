// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/favor.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("favor by scan and by step", "", float, double) {
  for (const heed::index features : {1, 20, 64}) {
    tensor<double> omega({1, 1, 0, 0});
    check_named<TestType>(
        "favor",
        [&](const auto& x) {
          omega = random<double>({1, 1, features, x.shape.d}, 90);
          return heed::recurrences::favor(omega.data, features);
        },
        [&](const auto& h) {
          const auto phi = [&](const VectorXd& y) {
            return rec::favor_feature(y, omega.head(0, 0));
          };
          return rec::linear(h.q(), h.k(), h.v(), phi, {.read = rec::readout::normalised});
        },
        false, {{1, 1}, {3, 16}, {16, 37}});
  }
}
