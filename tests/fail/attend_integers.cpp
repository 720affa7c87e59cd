// expect: storable
// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend.hpp>

#ifdef MUST_FAIL
using number = int;
#else
using number = float;
#endif

int main() {
  number q[4] = {};
  const heed::view<const number> x(q, {1, 1, 2, 2});
  float f[4] = {};
  heed::attend(heed::attention<>{}, x, x, x, heed::view<float>(f, {1, 1, 2, 2}));
}
