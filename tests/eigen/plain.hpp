// SPDX-License-Identifier: BSL-1.0
// The plain double loop for one head of Eigen matrices.
#pragma once

#include <heed/eigen.hpp>

#include "support/plain.hpp"

namespace heed::test {

inline Eigen::MatrixXd plain_head(const Eigen::MatrixXd& q, const Eigen::MatrixXd& k,
                                  const Eigen::MatrixXd& v, bool causal) {
  const plain_tensor out = plain(as<"LD">(q), as<"LD">(k), as<"LD">(v), causal);
  return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      out.data.data(), q.rows(), v.cols());
}

template <class X>
void check_close(const X& x, const Eigen::MatrixXd& expected, double tolerance = float_tolerance) {
  REQUIRE(x.rows() == expected.rows());
  REQUIRE(x.cols() == expected.cols());
  CHECK((x.template cast<double>() - expected).cwiseAbs().maxCoeff() < tolerance);
}

}  // namespace heed::test
