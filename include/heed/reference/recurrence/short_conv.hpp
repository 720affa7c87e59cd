// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

/// Causal depthwise convolution (Fu et al., H3; Gu and Dao, Mamba): y_tc = bias_c + Σ_j w_cj
/// x_{t−K+1+j,c}, K the width, so that w's last column meets the token itself. x [L×C], w [C×K],
/// bias [C]; before [(K−1)×C]: the inputs that precede x, the oldest first.
inline matrix short_conv(const matrix& x, const matrix& w, const vector& bias,
                         const matrix& before) {
  matrix all(before.rows() + x.rows(), x.cols());
  all << before, x;
  matrix y(x.rows(), x.cols());
  for (index t = 0; t < x.rows(); ++t)
    for (index c = 0; c < x.cols(); ++c)
      y(t, c) = bias(c) + w.row(c).dot(all.col(c).segment(t, w.cols()).transpose());
  return y;
}

}  // namespace heed::reference::recurrence
