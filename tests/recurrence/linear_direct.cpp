// SPDX-License-Identifier: BSL-1.0
// Linear attention without a normaliser, and the mean over keys.
#include <heed/recurrence/linear.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

TEMPLATE_TEST_CASE("sums and means by scan and by step, causal or not", "", float, double) {
  for (const bool causal : {true, false}) {
    check_named<TestType>(
        "direct",
        [causal](const auto&) { return heed::recurrence{.scale = 0.7, .causal = causal}; },
        [causal](const auto& h) {
          return rec::linear(h.q(), h.k(), h.v(), rec::identity, {.causal = causal, .scale = 0.7},
                             h.initial);
        });
    check_named<TestType>(
        "mean",
        [causal](const auto&) {
          return heed::recurrence{.readout = heed::mean_readout{}, .causal = causal};
        },
        [causal](const auto& h) {
          return rec::linear(h.q(), h.k(), h.v(), rec::identity,
                             {.read = rec::readout::count, .causal = causal}, h.initial);
        },
        true, {{3, 16}, {37, 37}});
  }
}
