// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/linear.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

namespace {

VectorXd elu1(const VectorXd& x) {
  return x.unaryExpr([](double y) { return y > 0 ? y + 1 : std::exp(y); });
}

}  // namespace

TEMPLATE_TEST_CASE("linear by scan and by step, causal or not", "", float, double) {
  for (const bool causal : {true, false})
    check_named<TestType>(
        causal ? "linear" : "linear, all tokens",
        [causal](const auto&) {
          auto spec = heed::recurrences::linear(heed::elu1_feature{}, 0.1);
          spec.causal = causal;
          return spec;
        },
        [causal](const auto& h) {
          return rec::linear(h.q(), h.k(), h.v(), elu1,
                             {.read = rec::readout::normalised, .causal = causal, .epsilon = 0.1},
                             h.initial);
        });
}

TEST_CASE("a normaliser of zero gives zeros") {
  recurrent_inputs<float> x({.l = 40, .d = 3, .dv = 2});
  for (heed::index t = 0; t < 20; ++t)
    for (heed::index c = 0; c < 3; ++c) x.k(0, 0, t, c) = -std::abs(x.k(0, 0, t, c));
  const auto spec = heed::recurrences::linear(heed::relu_feature{});
  for (const bool by_step : {false, true}) {
    const auto got = run(spec, x, by_step);
    for (heed::index t = 0; t < 20; ++t) CHECK(got.out.in()(0, 0, t, 1) == 0);
    for (const float y : got.out.data) CHECK(std::isfinite(y));
  }
}
