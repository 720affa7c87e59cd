// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/retention.hpp>
#include <heed/recurrence/ssd.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

TEST_CASE("gradients where nothing decays") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    check_scan("none", recurrence{.scale = 0.7}, {}, {}, {.l = l});
    check_scan("none", recurrence{.chunk = 8}, {}, {}, {.l = l, .segment = 2});
  }
}

TEST_CASE("gradients of one decay a token") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned log = logs({2, 2, l, 1});
    check_scan("scalar", recurrences::ssd(log), {.d_log = log.to()}, {&log}, {.l = l});
    auto spec = recurrences::ssd(log);
    spec.chunk = 8;
    check_scan("scalar, segments", spec, {.d_log = log.to()}, {&log},
               {.l = l, .d = 9, .dv = 17, .segment = 2});
  }
}

TEST_CASE("gradients of one decay a head") {
  owned log = logs({1, 2, 1, 1}, 21, 0.2);
  check_scan("constant", recurrences::retention(log, 0.5), {.d_log = log.to()}, {&log}, {.l = 70});
}

TEST_CASE("gradients of one decay a channel") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned log = logs({2, 2, l, 5});
    check_scan("channel", recurrences::gla(log, 5), {.d_log = log.to()}, {&log}, {.l = l});
    auto spec = recurrences::gla(log, 5);
    spec.chunk = 24;
    check_scan("channel, segments", spec, {.d_log = log.to()}, {&log},
               {.l = l, .dv = 9, .segment = 1});
  }
}
