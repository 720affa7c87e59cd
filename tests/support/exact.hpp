// SPDX-License-Identifier: BSL-1.0
// Seeded tensors, NaN-filled results, and tolerances from arithmetic.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdlib>
#include <heed/core/view.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace heed::test {

/// HEED_SEED in the environment, or a fixed number. Every failing comparison prints it.
inline unsigned seed() {
  const char* given = std::getenv("HEED_SEED");
  return given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 20240229u;
}

/// Row-major [B,H,L,D].
template <class T> struct tensor {
  extents extent;
  std::vector<T> data;

  explicit tensor(const extents& e, T value = std::numeric_limits<T>::quiet_NaN())
      : extent(e), data(static_cast<std::size_t>(e[0] * e[1] * e[2] * e[3]), value) {}

  view<T> in() { return {data.data(), extent}; }
  view<const T> in() const { return {data.data(), extent}; }
  T& operator()(index b, index h, index l, index d = 0) { return in()(b, h, l, d); }
  /// One head in double, [L × D].
  Eigen::MatrixXd head(index b, index h) const {
    Eigen::MatrixXd m(extent[2], extent[3]);
    for (index l = 0; l < extent[2]; ++l)
      for (index d = 0; d < extent[3]; ++d) m(l, d) = double(in()(b, h, l, d));
    return m;
  }
};

/// What an operation must overwrite: NaN everywhere.
template <class T> tensor<T> unwritten(const extents& e) { return tensor<T>(e); }

/// Normal numbers of the given deviation; equal streams give equal tensors.
template <class T> tensor<T> random(const extents& e, unsigned stream, double deviation = 1) {
  tensor<T> t(e);
  std::mt19937 bits(seed() + 7919u * stream);
  std::normal_distribution<double> normal(0, deviation);
  for (T& x : t.data) x = static_cast<T>(normal(bits));
  return t;
}

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
