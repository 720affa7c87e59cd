// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// s_ij = wᵀact(u_i + t_j + b) + b₀; u [Lq×A], t [Lk×A], w and b [A] -> [Lq×Lk].
template <class Activation>
matrix additive(const matrix& u, const matrix& t, const vector& w, const vector& b, double b0,
                Activation act) {
  matrix s(u.rows(), t.rows());
  for (index i = 0; i < s.rows(); ++i)
    for (index j = 0; j < s.cols(); ++j)
      s(i, j) = w.dot((u.row(i) + t.row(j) + b.transpose()).transpose().unaryExpr(act)) + b0;
  return s;
}

/// act = tanh (Bahdanau et al., Neural machine translation by jointly learning to align and
/// translate).
inline matrix additive(const matrix& u, const matrix& t, const vector& w, const vector& b,
                       double b0) {
  return additive(u, t, w, b, b0, [](double x) { return std::tanh(x); });
}

}  // namespace heed::reference::similarity
