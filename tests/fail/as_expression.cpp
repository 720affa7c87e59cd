// expect: heed::as: this has no storage to view
// SPDX-License-Identifier: BSL-1.0
#include <Eigen/Core>
#include <heed/core/axes.hpp>

int main() {
  const Eigen::MatrixXf a(2, 3), b(2, 3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"LD">(a + b).extent[2]);
#else
  const Eigen::MatrixXf sum = a + b;
  return static_cast<int>(heed::as<"LD">(sum).extent[2]);
#endif
}
