// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::normalizer {

/// p_ij = F(s_ij) where allowed, 0 elsewhere; a score that is not allowed is never read.
template <class F> matrix weigh(const matrix& s, const allowed& a, F weight) {
  matrix p = matrix::Zero(s.rows(), s.cols());
  for (index i = 0; i < s.rows(); ++i)
    for (index j = 0; j < s.cols(); ++j)
      if (a(i, j)) p(i, j) = weight(s(i, j));
  return p;
}

/// p_ij / d_i; a row whose divisor is zero gives zeros.
inline matrix divide_rows(matrix p, const vector& d) {
  for (index i = 0; i < p.rows(); ++i) d(i) == 0 ? p.row(i).setZero() : p.row(i) /= d(i);
  return p;
}

/// The number of allowed keys of each row.
inline vector counts(const allowed& a) { return a.cast<double>().rowwise().sum().matrix(); }

/// p_ij = F(s_ij) / Σ_j F(s_ij) for any F (Limits of normalisation in attention).
template <class F> matrix custom(const matrix& s, const allowed& a, F weight) {
  const matrix p = weigh(s, a, weight);
  return divide_rows(p, p.rowwise().sum());
}

}  // namespace heed::reference::normalizer
