// expect: heed::as: a temporary that owns its elements would leave the view dangling
// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

int main() {
  using tensor = Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3>, Eigen::RowMajor>;
  tensor x;
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"LD">(tensor(x)).extent[2]);
#else
  return static_cast<int>(heed::as<"LD">(x).extent[2]);
#endif
}
