// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/linear.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

TEST_CASE("gradients of normalised sums") {
  for (const heed::index l : {1, 5, 17, 37, 70})
    for (const bool causal : {true, false}) {
      auto spec = recurrences::linear(elu1_feature{}, 0.1);
      spec.causal = causal;
      check_scan("elu + 1", spec, {}, {}, {.l = l, .step = 1e-4}, 0.5);
      spec.chunk = 8;
      check_scan("elu + 1, segments", spec, {}, {},
                 {.hq = 4, .l = l, .d = 9, .segment = 2, .step = 1e-4}, 0.5);
    }
}

TEST_CASE("gradients of decayed normalised sums") {
  for (const heed::index l : {5, 70}) {
    owned log = logs({2, 2, l, 1}), each = logs({2, 2, l, 5});
    check_scan("scalar", recurrence{.decay = scalar_decay{log}, .readout = normalised_readout{2}},
               {.d_log = log.to()}, {&log}, {.l = l, .step = 1e-4}, 1);
    check_scan("channel",
               recurrence{.decay = channel_decay{each}, .readout = normalised_readout{2}},
               {.d_log = each.to()}, {&each}, {.l = l, .segment = 1, .step = 1e-4}, 1);
  }
}

TEST_CASE("gradients of means over tokens") {
  for (const bool causal : {true, false}) {
    check_scan("mean", recurrence{.readout = mean_readout{}, .causal = causal}, {}, {}, {.l = 70});
    check_scan("direct", recurrence{.causal = causal}, {}, {}, {.hq = 4, .l = 70});
  }
}

TEST_CASE("gradients of sums bounded from below") {
  for (const bool causal : {true, false})
    check_scan("bounded", recurrence{.readout = bounded_readout{}, .causal = causal}, {}, {},
               {.l = 37, .step = 2e-5});
}
