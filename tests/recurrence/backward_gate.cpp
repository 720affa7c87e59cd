// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/update/delta.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

TEST_CASE("gradients of mlstm") {
  for (const heed::index l : {1, 5, 17, 37, 70})
    for (const heed::index segment : {0, 1}) {
      owned log = logs({2, 2, l, 1}), gain(random<double>({2, 2, l, 1}, 28));
      auto spec = recurrences::mlstm(log, gain, 5);
      spec.chunk = segment * 8;
      check_scan("mlstm", spec, {.d_log = log.to(), .d_gain = gain.to()}, {&log, &gain},
                 {.hq = 2 + 2 * segment, .l = l, .segment = segment, .step = 2e-5});
    }
}

TEST_CASE("gradients of mlstm with large input gates") {
  owned log = logs({2, 2, 37, 1}), gain(random<double>({2, 2, 37, 1}, 28, 20));
  check_scan("mlstm", recurrences::mlstm(log, gain, 5), {.d_log = log.to(), .d_gain = gain.to()},
             {&log, &gain}, {.state = false, .step = 2e-5});
}

TEST_CASE("gradients of gated normalised sums") {
  owned log = logs({1, 2, 37, 1}), gain(random<double>({2, 1, 37, 1}, 28, 0.5));
  check_scan(
      "gate", recurrence{.decay = exponential_gate{log, gain}, .readout = normalised_readout{}},
      {.d_log = log.to(), .d_gain = gain.to()}, {&log, &gain}, {.state = false, .step = 1e-4}, 2);
}

TEST_CASE("a gate whose running maximum shows in the output has no gradients") {
  owned log = logs({1, 2, 37, 1}), gain(random<double>({2, 1, 37, 1}, 28, 0.5));
  CHECK_THROWS_AS(check_scan("gate", recurrence{.decay = exponential_gate{log, gain}}, {}),
                  std::invalid_argument);
}
