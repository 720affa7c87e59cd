// expect: heed::as: a temporary that owns its elements would leave the view dangling
// SPDX-License-Identifier: BSL-1.0
// Ref<const T> may hold a copy of what it was made from.
#include <Eigen/Core>
#include <heed/core/axes.hpp>

int main() {
  Eigen::MatrixXf x(2, 3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"LD">(Eigen::Ref<const Eigen::MatrixXf>(x)).extent[2]);
#else
  return static_cast<int>(heed::as<"LD">(Eigen::Ref<Eigen::MatrixXf>(x)).extent[2]);
#endif
}
