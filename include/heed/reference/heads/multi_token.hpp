// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/heads/talking.hpp>

namespace heed::reference::heads {

/// Σ_a Σ_b θ[a][b] x_{i - a, j + ⌊c_k/2⌋ - b} over the pairs that are allowed, others count as 0.
inline matrix convolved(const matrix& x, const allowed& a, const matrix& theta) {
  matrix y = matrix::Zero(x.rows(), x.cols());
  for (index i = 0; i < x.rows(); ++i)
    for (index j = 0; j < x.cols(); ++j)
      for (index n = 0; n < theta.rows(); ++n)
        for (index m = 0; m < theta.cols(); ++m) {
          const index row = i - n, key = j + theta.cols() / 2 - m;
          if (row >= 0 && key >= 0 && key < x.cols() && a(row, key))
            y(i, j) += theta(n, m) * x(row, key);
        }
  return y;
}

/// The weights of all heads (Golovneva et al., Multi-token attention, 2025): scores convolved,
/// softmax, weights convolved, heads mixed by the block-diagonal `mix`.
inline std::vector<matrix> multi_token(const std::vector<matrix>& s, const allowed& a,
                                       const std::vector<matrix>& theta,
                                       const std::vector<matrix>& after, const matrix& mix) {
  std::vector<matrix> p;
  for (std::size_t h = 0; h < s.size(); ++h) {
    const matrix w = normalizer::softmax(convolved(s[h], a, theta[h]), a);
    p.push_back(convolved(w, a, after[h]).cwiseProduct(a.cast<double>().matrix()));
  }
  return mixed(p, mix);
}

}  // namespace heed::reference::heads
