// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/update/delta.hpp>
#include <heed/recurrence/update/low_rank.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

TEST_CASE("gradients of rwkv6") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned log = logs({2, 2, l, 5}), u(random<double>({1, 2, 1, 5}, 25));
    auto spec = recurrences::rwkv6(log, u);
    check_scan("rwkv6", spec, {.d_log = log.to(), .d_u = u.to()}, {&log, &u}, {.l = l});
    spec.chunk = 24;
    check_scan("rwkv6, four query heads", spec, {.d_log = log.to(), .d_u = u.to()}, {&log, &u},
               {.hq = 4, .l = l, .segment = 1});
  }
}

TEST_CASE("gradients of rwkv5") {
  owned log = logs({1, 2, 1, 1}, 21, 0.2), u(random<double>({1, 1, 1, 1}, 25));
  check_scan("rwkv5", recurrences::rwkv5(log, u), {.d_log = log.to(), .d_u = u.to()}, {&log, &u},
             {.l = 70});
}

TEST_CASE("gradients of a bonus with other decays and updates") {
  owned log = logs({2, 2, 37, 1}), u(random<double>({1, 2, 1, 5}, 25)), beta = betas({2, 2, 37, 1});
  owned a(random<double>({2, 2, 37, 5}, 26, 0.4)), b(random<double>({2, 2, 37, 5}, 27, 0.4));
  check_scan("none", recurrence{.readout = bonus_readout{u}}, {.d_u = u.to()}, {&u});
  check_scan("scalar", recurrence{.decay = scalar_decay{log}, .readout = bonus_readout{u}},
             {.d_log = log.to(), .d_u = u.to()}, {&log, &u});
}
