// SPDX-License-Identifier: BSL-1.0
// Closeness, with tolerances from arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {

/// c · ε · √length · magnitude: what a sum of `length` terms of that size may be off by.
template <class T> double tolerance(double c, index length, double magnitude = 1) {
  return c * double(std::numeric_limits<T>::epsilon()) *
         std::sqrt(double(std::max<index>(length, 1))) * magnitude;
}

/// Every element within `allowed`; equal infinities agree, NaN never does.
template <class Got, class Expected>
void check_close(const Got& got, const Expected& expected, double allowed,
                 const std::string& where = "") {
  INFO(where << " seed " << seed() << " tolerance " << allowed);
  REQUIRE(got.rows() == expected.rows());
  REQUIRE(got.cols() == expected.cols());
  double worst = 0;
  Eigen::Index row = 0, column = 0;
  for (Eigen::Index i = 0; i < got.rows(); ++i)
    for (Eigen::Index j = 0; j < got.cols(); ++j) {
      const double g = got(i, j), e = expected(i, j);
      const double off = g == e ? 0
                         : std::isfinite(g) && std::isfinite(e)
                             ? std::abs(g - e)
                             : std::numeric_limits<double>::infinity();
      if (off > worst) worst = off, row = i, column = j;
    }
  INFO("worst at " << row << ", " << column << ": " << (worst > 0 ? got(row, column) : 0) << " for "
                   << (worst > 0 ? expected(row, column) : 0));
  CHECK(worst <= allowed);
}

}  // namespace heed::test
