// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/normalizer/softmax.hpp>
#include <vector>

namespace heed::reference::heads {

/// y^h = Σ_h' m[h,h'] x^h', one matrix a head.
inline std::vector<matrix> mixed(const std::vector<matrix>& x, const matrix& m) {
  std::vector<matrix> y;
  for (index h = 0; h < m.rows(); ++h) {
    y.push_back(matrix::Zero(x[0].rows(), x[0].cols()));
    for (index from = 0; from < m.cols(); ++from)
      y.back() += m(h, from) * x[static_cast<std::size_t>(from)];
  }
  return y;
}

/// Â = P_w softmax(P_l s) over the heads of each pair (Shazeer et al., Talking-heads attention).
inline std::vector<matrix> talking(const std::vector<matrix>& s, const allowed& a,
                                   const matrix& before, const matrix& after) {
  std::vector<matrix> p = mixed(s, before);
  for (matrix& x : p) x = normalizer::softmax(x, a);
  return mixed(p, after);
}

}  // namespace heed::reference::heads
