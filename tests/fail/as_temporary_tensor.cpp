// expect: heed::as: a temporary that owns its elements would leave the view dangling
// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

int main() {
  using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  float x[24] = {};
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"BHLD">(tensor(1, 2, 3, 4)).extent[2]) + static_cast<int>(x[0]);
#else
  return static_cast<int>(heed::as<"BHLD">(Eigen::TensorMap<tensor>(x, 1, 2, 3, 4)).extent[2]);
#endif
}
