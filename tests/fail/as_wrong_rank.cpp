// expect: heed::as: one letter for each axis of the object
// SPDX-License-Identifier: BSL-1.0
#include <Eigen/Core>
#include <heed/core/axes.hpp>

int main() {
  const Eigen::MatrixXf x(2, 3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"HLD">(x).extent[2]);
#else
  return static_cast<int>(heed::as<"LD">(x).extent[2]);
#endif
}
