// SPDX-License-Identifier: BSL-1.0
// The state of sums of keys and of means, carried on.
#include <heed/recurrence/linear.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class Spec> void check_splits(const char* name, Spec spec) {
  const recurrent_inputs<double> x({.b = 1, .q = 2, .k = 2, .v = 2, .l = 40, .d = 6, .dv = 5});
  for (const bool causal : {true, false}) {
    spec.causal = causal;
    const auto initial = random_state(spec, x, 5);
    recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
    for (heed::index cut = 0; cut <= 40; ++cut)
      for (const int how : {0, 1, 2, 3}) {
        const auto got = run_pieces(spec, x, {cut}, how & 1, how >> 1, initial);
        // Without causality a piece reads what its own last token leaves.
        if (causal || cut == 0 || cut == 40)  // all in one call
          expected.check_out(got.out.in(), name);
        expected.check_state(got.state, name);
      }
  }
}

}  // namespace

TEST_CASE("a sequence cut anywhere: sums of keys") {
  check_splits("normalised", heed::recurrences::linear());
}
TEST_CASE("a sequence cut anywhere: tokens counted") {
  check_splits("mean", heed::recurrence{.readout = heed::mean_readout{}});
}
