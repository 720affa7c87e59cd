// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::heads {

/// λ = e^{λ_q1·λ_k1} − e^{λ_q2·λ_k2} + λ_init (Ye et al., Differential Transformer).
inline double differential_lambda(const vector& q1, const vector& k1, const vector& q2,
                                  const vector& k2, double init) {
  return std::exp(q1.dot(k1)) - std::exp(q2.dot(k2)) + init;
}

/// (softmax(Q₁K₁ᵀ/√D) − λ softmax(Q₂K₂ᵀ/√D)) V of one head; q [Lq×D], k [Lk×D], v [Lk×Dv].
inline matrix differential(const matrix& q1, const matrix& k1, const matrix& q2, const matrix& k2,
                           const matrix& v, double lambda, const allowed& a) {
  const double scale = 1 / std::sqrt(double(q1.cols()));
  return attention(normalizer::softmax(scale * q1 * k1.transpose(), a), v) -
         lambda * attention(normalizer::softmax(scale * q2 * k2.transpose(), a), v);
}

/// The norm of the same paper: (1 − λ_init) g ⊙ o / √(mean o² + ε), row by row; g [Dv].
inline matrix differential_norm(const matrix& o, const vector& gain, double init, double epsilon) {
  matrix n = o;
  for (index i = 0; i < o.rows(); ++i)
    n.row(i) = (1 - init) / std::sqrt(o.row(i).squaredNorm() / double(o.cols()) + epsilon) *
               o.row(i).cwiseProduct(gain.transpose());
  return n;
}

}  // namespace heed::reference::heads
