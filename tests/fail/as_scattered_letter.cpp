// expect: heed::as: a repeated letter folds neighbouring axes only
// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>

int main() {
  float x[24] = {};
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"LHL">(x, {2, 3, 4}).extent[2]);
#else
  return static_cast<int>(heed::as<"HLL">(x, {2, 3, 4}).extent[2]);
#endif
}
