// expect: heed::as: axis letters are B, H, L and D
// SPDX-License-Identifier: BSL-1.0
#include <Eigen/Core>
#include <heed/core/axes.hpp>

int main() {
  const Eigen::MatrixXf x(2, 3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"LX">(x).extent[2]);
#else
  return static_cast<int>(heed::as<"LD">(x).extent[2]);
#endif
}
