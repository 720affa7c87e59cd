// SPDX-License-Identifier: BSL-1.0
// Operands of tests: row-major [B,H,L,D], filled from one seed or with NaN.
#pragma once

#include <Eigen/Core>
#include <cstdlib>
#include <heed/core/view.hpp>
#include <limits>
#include <random>
#include <vector>

namespace heed::test {

/// HEED_SEED in the environment, or a fixed number. Every failing comparison prints it.
inline unsigned seed() {
  const char* given = std::getenv("HEED_SEED");
  return given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : 20240229u;
}

/// Row-major [B,H,L,D].
template <class T = float> struct tensor {
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

/// Numbers of [-1, 1).
template <class T = float> tensor<T> uniform(const extents& e, unsigned stream) {
  tensor<T> t(e);
  std::mt19937 bits(seed() + 7919u * stream);
  for (T& x : t.data) x = static_cast<T>(double(bits()) / 2147483648.0 - 1);
  return t;
}

}  // namespace heed::test
