// SPDX-License-Identifier: BSL-1.0
// Operands of short convolutions, and the reference on them.
#pragma once

#include <heed/recurrence/short_conv.hpp>
#include <heed/reference/recurrence/short_conv.hpp>

#include "support/exact.hpp"

namespace heed::test {

struct conv_shape {
  index b = 1, h = 1, l = 1, d = 1, k = 4;
  bool shared = false;  // one table of weights for all heads
  std::string name() const {
    return "B " + std::to_string(b) + ", H " + std::to_string(h) + ", L " + std::to_string(l) +
           ", D " + std::to_string(d) + ", K " + std::to_string(k);
  }
};
inline const std::vector<conv_shape>& conv_shapes() {
  static const std::vector<conv_shape> all{
      {1, 1, 1, 1, 4},   {2, 1, 7, 3, 2},         {2, 1, 37, 17, 4}, {1, 3, 101, 64, 3, true},
      {2, 2, 300, 9, 8}, {1, 1, 67, 200, 4},      {1, 2, 5, 32, 1},  {3, 1, 0, 5, 4},
      {0, 1, 3, 4, 4},   {1, 1, 33, 128, 4, true}};
  return all;
}

template <class T> struct conv_operands {
  conv_shape s;
  tensor<T> x, weight, bias;

  explicit conv_operands(const conv_shape& of)
      : s(of),
        x(random<T>({of.b, of.h, of.l, of.d}, 1)),
        weight(random<T>({1, of.shared ? 1 : of.h, of.d, of.k}, 2)),
        bias(random<T>({1, of.shared ? 1 : of.h, 1, of.d}, 3)) {}

  short_conv full() const { return {.weight = weight.in(), .bias = bias.in(), .silu = true}; }
  short_conv plain() const { return {.weight = weight.in()}; }
  state_format format() const {
    return {.kind = "short_conv", .heads = s.h, .rows = s.k - 1, .columns = s.d};
  }

  // Rows [first, first + count) of one head after those of `before`, [(K-1)×D], which move on.
  Eigen::MatrixXd expected(const short_conv& spec, index b, index h, index first, index count,
                           Eigen::MatrixXd& before) const {
    const index table = s.shared ? 0 : h;
    const Eigen::MatrixXd rows = x.head(b, h).middleRows(first, count);
    Eigen::VectorXd shift = Eigen::VectorXd::Zero(s.d);
    if (spec.bias.present()) shift = bias.head(0, table).row(0);
    Eigen::MatrixXd y =
        heed::reference::recurrence::short_conv(rows, weight.head(0, table), shift, before);
    if (spec.silu) y = y.unaryExpr([](double v) { return v / (1 + std::exp(-v)); }).eval();
    Eigen::MatrixXd all(before.rows() + count, s.d);
    all << before, rows;
    before = all.bottomRows(before.rows()).eval();
    return y;
  }
};

template <class T> Eigen::MatrixXd state_matrix(const recurrent_state<T>& s, index i, index h) {
  const view<const T> all = s.matrices();
  Eigen::MatrixXd m(s.format().rows, s.format().columns);
  for (index r = 0; r < m.rows(); ++r)
    for (index c = 0; c < m.cols(); ++c) m(r, c) = double(all(i, h, r, c));
  return m;
}

}  // namespace heed::test
