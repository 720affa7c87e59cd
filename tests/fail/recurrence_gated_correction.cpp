// expect: an exponential gate goes with an additive update that is read after it
// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/decay/exponential_gate.hpp>
#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

int main() {
  float x[4] = {};
  const heed::view<float> all(x, {1, 1, 2, 1});
  const heed::exponential_gate gate{all, all};
#ifdef MUST_FAIL
  heed::scan(heed::recurrence{.decay = gate, .update = heed::delta_update{all}}, all, all, all,
             all);
#else
  heed::scan(heed::recurrence{.decay = gate}, all, all, all, all);
#endif
}
