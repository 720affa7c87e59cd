// expect: a readout before the update goes with one that does not correct
// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/scan.hpp>
#include <heed/recurrence/update/delta.hpp>

int main() {
  float x[4] = {};
  const heed::view<float> all(x, {1, 1, 2, 1}), u(x, {1, 1, 1, 1});
#ifdef MUST_FAIL
  heed::scan(heed::recurrence{.update = heed::delta_update{all}, .readout = heed::bonus_readout{u}},
             all, all, all, all);
#else
  heed::scan(heed::recurrence{.readout = heed::bonus_readout{u}}, all, all, all, all);
#endif
}
