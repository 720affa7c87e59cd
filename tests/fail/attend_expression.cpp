// expect: heed::as: this has no storage to view
// SPDX-License-Identifier: BSL-1.0
#include <heed/eigen.hpp>

int main() {
  const Eigen::MatrixXf x = Eigen::MatrixXf::Random(3, 2);
#ifdef MUST_FAIL
  const auto out = heed::attend(heed::attention<>{}, x, x + x, x);
#else
  const auto out = heed::attend(heed::attention<>{}, x, x, x);
#endif
  return static_cast<int>(out.rows());
}
