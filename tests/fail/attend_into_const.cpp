// expect: no matching function
// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend.hpp>

#ifdef MUST_FAIL
using number = const float;
#else
using number = float;
#endif

int main() {
  float q[4] = {}, out[4] = {};
  const heed::view<const float> x(q, {1, 1, 2, 2});
  heed::attend(heed::attention<>{}, x, x, x, heed::view<number>(out, {1, 1, 2, 2}));
}
