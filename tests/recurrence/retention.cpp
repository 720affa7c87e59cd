// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/retention.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("retention by scan and by step", "", float, double) {
  check_named<TestType>(
      "retention", [](const auto& x) { return heed::recurrences::retention(x.lambda.in(), 0.5); },
      [](const auto& h) {
        return rec::retention(h.q(), h.k(), h.v(), h.number(h.x.lambda), h.initial, 0.5);
      });
}

TEST_CASE("lightning is retention of silu features, RetNet has its own decays") {
  const recurrent_inputs<double> x({.b = 1, .q = 2, .k = 2, .v = 2, .l = 33, .d = 5, .dv = 3});
  const auto spec = heed::recurrences::lightning(x.lambda.in());
  const auto got = run(spec, x);
  const auto silu = [](const MatrixXd& m) {
    return MatrixXd(m.array() / (1 + (-m.array()).exp()));
  };
  recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(),
                                 heed::recurrent_state<double>{});
  for (heed::index h = 0; h < 2; ++h) {
    const plain_head<double> of{x, 0, h, {}};
    expected.answer(0, h).out =
        rec::retention(silu(of.q()), silu(of.k()), of.v(), of.number(x.lambda)).out;
  }
  expected.check_out(got.out.in(), "lightning");
  CHECK(std::exp(heed::recurrences::retnet_log_decay(0)) == Approx(1 - 1 / 32.0).epsilon(1e-15));
  CHECK(std::exp(heed::recurrences::retnet_log_decay(7)) == Approx(1 - 1 / 4096.0).epsilon(1e-15));
}
