// SPDX-License-Identifier: BSL-1.0
// Operands of local/, and the references on them.
#pragma once

#include <heed/core/axes.hpp>
#include <heed/local/dynamic_depthwise.hpp>
#include <heed/local/value_depthwise.hpp>
#include <heed/reference/local/dynamic_convolution.hpp>
#include <heed/reference/local/dynamic_depthwise.hpp>
#include <heed/reference/local/value_depthwise.hpp>

#include "support/exact.hpp"

namespace heed::test {

/// A line of tokens, or a grid: x [B,1,L,C] with `kernels` kernels of `taps` weights.
struct local_shape {
  index b = 1, height = 1, width = 1, c = 1, kernels = 1, k = 3;
  bool each = false, own = false;  // kernels of every position, of every item
  index tokens() const { return height * width; }
  std::string name() const {
    return "B " + std::to_string(b) + ", " + std::to_string(height) + " x " +
           std::to_string(width) + ", C " + std::to_string(c) + ", " + std::to_string(kernels) +
           " kernels" + (each ? " a position" : "") + ", k " + std::to_string(k);
  }
};

/// x [B,1,L,C] and weights [B|1,G,1|L,taps].
template <class T> struct local_operands {
  local_shape s;
  index taps;
  tensor<T> x, weight, numbers;

  explicit local_operands(const local_shape& of, bool grid = false)
      : s(of),
        taps(grid ? of.k * of.k : of.k),
        x(random<T>({of.b, 1, of.tokens(), of.c}, 1)),
        weight(random<T>({of.own ? of.b : 1, of.kernels, of.each ? of.tokens() : 1, taps}, 2)),
        numbers(random<T>({1, of.kernels, 1, 1}, 3)) {}

  /// Kernel g of item b for every position, [L×taps].
  Eigen::MatrixXd kernels(index b, index g) const {
    const Eigen::MatrixXd w = weight.head(s.own ? b : 0, g);
    return s.each ? w : Eigen::MatrixXd(w.replicate(s.tokens(), 1));
  }
  Eigen::VectorXd all_numbers() const {
    Eigen::VectorXd all(s.kernels);
    for (index g = 0; g < s.kernels; ++g) all(g) = double(numbers.in()(0, g, 0));
    return all;
  }
  Eigen::MatrixXd exact(const dynamic_convolution& spec, index b) const {
    Eigen::MatrixXd y(s.tokens(), s.c);
    const index n = s.c / s.kernels;
    for (index g = 0; g < s.kernels; ++g)
      y.middleCols(g * n, n) = heed::reference::local::dynamic_convolution(
          x.head(b, 0).middleCols(g * n, n), kernels(b, g), spec.softmax, spec.causal,
          Eigen::MatrixXd(0, n));
    return y;
  }
  Eigen::MatrixXd exact(const dynamic_depthwise& spec, index b) const {
    const Eigen::VectorXd lambda = spec.lambda.present() ? all_numbers() : Eigen::VectorXd();
    std::vector<Eigen::MatrixXd> all;
    for (index g = 0; g < s.kernels; ++g) all.push_back(kernels(b, g));
    return heed::reference::local::involution(x.head(b, 0), s.height, s.width, s.k, all, lambda);
  }
};

}  // namespace heed::test
