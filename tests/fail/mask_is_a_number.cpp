// expect: mask
// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/spec.hpp>
#include <heed/mask/causal.hpp>

int main() {
#ifdef MUST_FAIL
  const heed::attention spec{.mask = 1};
#else
  const heed::attention spec{.mask = heed::causal{}};
#endif
  static_cast<void>(spec);
}
