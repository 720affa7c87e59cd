// expect: heed::as: this has no storage to view
// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

int main() {
  Eigen::Tensor<float, 2> x(2, 3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"DL">(x + x).extent[2]);
#else
  return static_cast<int>(heed::as<"DL">(x).extent[2]);
#endif
}
