// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/rwkv7.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

namespace {

struct low_rank {
  owned a, b;
  explicit low_rank(const extents& e)
      : a(random<double>(e, 23, 0.4)), b(random<double>(e, 24, 0.4)) {}
  low_rank_update policy() const { return {a, b}; }
};

}  // namespace

TEST_CASE("gradients of a transition of low rank") {
  for (const heed::index l : {1, 5, 17, 37, 70})
    for (const heed::index segment : {0, 1}) {
      low_rank x({2, 2, l, 5});
      const scan_gradients<double> to{.d_a = x.a.to(), .d_b = x.b.to()};
      check_scan("no decay", recurrence{.update = x.policy(), .chunk = segment * 8}, to,
                 {&x.a, &x.b}, {.l = l, .segment = segment});
    }
}

TEST_CASE("gradients of a transition of low rank with one decay a token") {
  for (const heed::index l : {1, 5, 17, 37, 70})
    for (const heed::index segment : {0, 1}) {
      low_rank x({2, 2, l, 5});
      owned log = logs({2, 2, l, 1});
      check_scan("scalar",
                 recurrence{.decay = scalar_decay{log}, .update = x.policy(), .chunk = segment * 8},
                 {.d_log = log.to(), .d_a = x.a.to(), .d_b = x.b.to()}, {&log, &x.a, &x.b},
                 {.l = l, .segment = segment});
    }
}

TEST_CASE("gradients of rwkv7") {
  for (const heed::index l : {1, 5, 17, 37, 70})
    for (const heed::index segment : {0, 1}) {
      low_rank x({2, 2, l, 9});
      owned log = logs({2, 2, l, 9});
      auto spec = recurrences::rwkv7(log, x.a, x.b);
      spec.chunk = segment * 24;
      check_scan("rwkv7", spec, {.d_log = log.to(), .d_a = x.a.to(), .d_b = x.b.to()},
                 {&log, &x.a, &x.b}, {.l = l, .d = 9, .segment = segment});
    }
}
