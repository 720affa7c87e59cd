// SPDX-License-Identifier: BSL-1.0
// Operands of selective scans, and the reference on them.
#pragma once

#include <heed/recurrence/mamba.hpp>
#include <heed/reference/recurrence/mamba.hpp>

#include "support/exact.hpp"

namespace heed::test {

struct selective_shape {
  index b = 1, l = 1, c = 1, n = 1, g = 1;
  std::string name() const {
    return "B " + std::to_string(b) + ", L " + std::to_string(l) + ", C " + std::to_string(c) +
           ", N " + std::to_string(n) + ", G " + std::to_string(g);
  }
};
inline const std::vector<selective_shape>& selective_shapes() {
  static const std::vector<selective_shape> all{
      {1, 1, 1, 1, 1},   {2, 7, 3, 1, 1},     {2, 37, 17, 16, 1}, {1, 101, 70, 5, 2},
      {2, 32, 64, 4, 1}, {1, 67, 130, 64, 1}, {3, 0, 5, 3, 1},    {0, 3, 4, 2, 1}};
  return all;
}

template <class T> struct selective_operands {
  selective_shape x;
  tensor<T> u, delta, b, c, a, d, bias, z;

  explicit selective_operands(const selective_shape& s)
      : x(s),
        u(random<T>({s.b, 1, s.l, s.c}, 1)),
        delta(random<T>({s.b, 1, s.l, s.c}, 2)),
        b(random<T>({s.b, s.g, s.l, s.n}, 3)),
        c(random<T>({s.b, s.g, s.l, s.n}, 4)),
        a(random<T>({1, 1, s.c, s.n}, 5)),
        d(random<T>({1, 1, 1, s.c}, 6)),
        bias(random<T>({1, 1, 1, s.c}, 7)),
        z(random<T>({s.b, 1, s.l, s.c}, 8)) {
    for (T& v : a.data) v = static_cast<T>(-std::exp(double(v)));
  }

  // softplus, a bias, D and a gate; or none of them, with Δ > 0 as it is.
  selective_scan full() const {
    return {.a = a.in(), .d = d.in(), .delta_bias = bias.in(), .softplus = true, .gate = z.in()};
  }
  selective_scan plain() {
    for (T& v : delta.data) v = static_cast<T>(std::abs(double(v)));
    return {.a = a.in()};
  }

  // Rows [first, first + count) of batch item `item`; h moves on, [C×N].
  Eigen::MatrixXd expected(const selective_scan& spec, index item, index first, index count,
                           Eigen::MatrixXd& h) const {
    namespace ref = heed::reference;
    const auto rows = [&](const tensor<T>& t, index head) -> Eigen::MatrixXd {
      const Eigen::MatrixXd m = t.head(item, head).middleRows(first, count);
      return spec.reverse ? Eigen::MatrixXd(m.colwise().reverse()) : m;
    };
    Eigen::MatrixXd step = rows(delta, 0), out(count, x.c);
    if (spec.delta_bias.present()) step.rowwise() += bias.head(0, 0).row(0);
    if (spec.softplus) step = step.unaryExpr(&ref::recurrence::softplus).eval();
    const Eigen::MatrixXd values = rows(u, 0);
    const index per = x.c / x.g;
    for (index g = 0; g < x.g; ++g) {
      const Eigen::VectorXd skip = spec.d.present()
                                       ? Eigen::VectorXd(d.head(0, 0).row(0).segment(g * per, per))
                                       : Eigen::VectorXd(Eigen::VectorXd::Zero(per));
      const auto one =
          ref::recurrence::mamba(values.middleCols(g * per, per), step.middleCols(g * per, per),
                                 a.head(0, 0).middleRows(g * per, per), rows(b, g), rows(c, g),
                                 skip, h.middleRows(g * per, per));
      out.middleCols(g * per, per) = one.out;
      h.middleRows(g * per, per) = one.h;
    }
    if (spec.gate.present())
      out.array() *= rows(z, 0).unaryExpr([](double y) { return y / (1 + std::exp(-y)); }).array();
    return spec.reverse ? Eigen::MatrixXd(out.colwise().reverse()) : out;
  }
};

template <class T> Eigen::MatrixXd state_matrix(const recurrent_state<T>& s, index i) {
  const view<const T> all = s.matrices();
  Eigen::MatrixXd m(s.format().rows, s.format().columns);
  for (index r = 0; r < m.rows(); ++r)
    for (index n = 0; n < m.cols(); ++n) m(r, n) = double(all(i, 0, r, n));
  return m;
}

}  // namespace heed::test
