// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/matrix.hpp>

namespace heed::reference::pool {

/// softmax(q kᵀ/√D + bias) v; bias [Lq×Lk] or empty.
inline matrix softmax_attention(const matrix& q, const matrix& k, const matrix& v,
                                const matrix& bias = {}) {
  matrix s = q * k.transpose() / std::sqrt(double(q.cols()));
  if (bias.size() > 0) s += bias;
  matrix o(q.rows(), v.cols());
  for (index i = 0; i < q.rows(); ++i) {
    const vector e = (s.row(i).array() - s.row(i).maxCoeff()).exp();
    o.row(i) = (e / e.sum()).transpose() * v;
  }
  return o;
}

/// Agent attention without its convolution: O = softmax(Q Aᵀ + B₂) softmax(A Kᵀ + B₁) V.
inline matrix two_hop(const matrix& a, const matrix& q, const matrix& k, const matrix& v,
                      const matrix& first_bias = {}, const matrix& second_bias = {}) {
  return softmax_attention(q, a, softmax_attention(a, k, v, first_bias), second_bias);
}

/// Adaptive average pooling of an image [Y·X × D] to [ry·rx × D].
inline matrix pooled(const matrix& x, index y, index w, index ry, index rx) {
  matrix mean = matrix::Zero(ry * rx, x.cols());
  for (index r = 0; r < ry; ++r)
    for (index c = 0; c < rx; ++c) {
      const index y0 = r * y / ry, x0 = c * w / rx;
      const index y1 = index(std::ceil(double((r + 1) * y) / double(ry))),
                  x1 = index(std::ceil(double((c + 1) * w) / double(rx)));
      for (index i = y0; i < y1; ++i)
        for (index j = x0; j < x1; ++j)
          mean.row(r * rx + c) += x.row(i * w + j) / double((y1 - y0) * (x1 - x0));
    }
  return mean;
}

}  // namespace heed::reference::pool
