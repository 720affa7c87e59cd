// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <limits>

#include <heed/reference/matrix.hpp>

namespace heed::reference::normalizer {

/// lse_i = log Σ_j e^{s_ij} over the allowed keys; −∞ for a row without any.
inline vector lse(const matrix& s, const allowed& a) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  vector out = vector::Constant(s.rows(), -infinity);
  for (index i = 0; i < s.rows(); ++i) {
    double m = -infinity;
    for (index j = 0; j < s.cols(); ++j)
      if (a(i, j)) m = std::fmax(m, s(i, j));
    if (m == -infinity) continue;
    double l = 0;
    for (index j = 0; j < s.cols(); ++j)
      if (a(i, j)) l += std::exp(s(i, j) - m);
    out(i) = m + std::log(l);
  }
  return out;
}

/// p_ij = e^{s_ij} / Σ_j e^{s_ij} over the allowed keys; zeros for a row without any
/// (Vaswani et al., Attention is all you need). s, a and the result are [Lq×Lk].
inline matrix softmax(const matrix& s, const allowed& a) {
  const vector z = lse(s, a);
  matrix p = matrix::Zero(s.rows(), s.cols());
  for (index i = 0; i < s.rows(); ++i)
    for (index j = 0; j < s.cols(); ++j)
      if (a(i, j) && s(i, j) != -std::numeric_limits<double>::infinity())
        p(i, j) = std::exp(s(i, j) - z(i));
  return p;
}

}  // namespace heed::reference::normalizer
