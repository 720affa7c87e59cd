// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/rwkv6.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("rwkv6 by scan and by step", "", float, double) {
  check_named<TestType>(
      "rwkv6", [](const auto& x) { return heed::recurrences::rwkv6(x.channels.in(), x.u.in()); },
      [](const auto& h) {
        return rec::rwkv6(h.q(), h.k(), h.v(), h.of(h.x.channels), h.of(h.x.u).row(0), h.initial);
      });
}

TEST_CASE("rwkv5 has one decay for all tokens, of every channel or of all") {
  for (const heed::index channels : {7, 1}) {
    const recurrent_inputs<double> x({.b = 2, .q = 2, .k = 2, .v = 2, .l = 41, .d = 7, .dv = 3});
    auto w = random<double>({1, 2, 1, channels}, 50, 0.3);
    for (double& y : w.data) y = -std::abs(y);
    const auto spec = heed::recurrences::rwkv5(w.in(), x.u.in());
    recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(),
                                   heed::recurrent_state<double>{});
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 2; ++h) {
        const plain_head<double> of{x, b, h, {}};
        const VectorXd every = w.head(0, h).row(0).replicate(1, 7 / channels).transpose();
        expected.answer(b, h).out =
            rec::rwkv5(of.q(), of.k(), of.v(), every, of.of(x.u).row(0)).out;
      }
    expected.check_out(run(spec, x).out.in(), "scan");
    expected.check_out(run(spec, x, true).out.in(), "step");
  }
}
