// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::local {

/// Lightweight and dynamic convolutions (Wu et al., ICLR 2019) for one head: y_i = Σ_{j<k} a_ij
/// x_{i+j−s}, s = ⌊(k−1)/2⌋, or k−1 if causal; a_i = softmax(w_i), or w_i. x [N×D], w [N×k], the
/// rows all the same for lightweight ones; before [·×D]: what precedes x, the oldest first.
inline matrix dynamic_convolution(const matrix& x, const matrix& w, bool softmax, bool causal,
                                  const matrix& before) {
  const index k = w.cols(), shift = causal ? k - 1 : (k - 1) / 2;
  matrix y = matrix::Zero(x.rows(), x.cols());
  for (index i = 0; i < x.rows(); ++i) {
    Eigen::RowVectorXd a = w.row(i);
    if (softmax) {
      a = (a.array() - a.maxCoeff()).exp();
      a /= a.sum();
    }
    for (index j = 0; j < k; ++j) {
      const index at = i + j - shift;
      if (at >= 0 && at < x.rows()) y.row(i) += a(j) * x.row(at);
      if (at < 0 && -at <= before.rows()) y.row(i) += a(j) * before.row(before.rows() + at);
    }
  }
  return y;
}

}  // namespace heed::reference::local
