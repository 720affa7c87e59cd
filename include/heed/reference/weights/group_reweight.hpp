// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/matrix.hpp>

namespace heed::reference::weights {

/// Split-softmax: with π = Σ_{j in span} p_ij, p'_ij = p_ij π^{k−1} in the span and
/// p_ij (1 − π^k)/(1 − π) outside. Rows with π = 0 or 1 stay as they are.
inline matrix split_softmax(matrix p, const indices& span, double k) {
  for (index i = 0; i < p.rows(); ++i) {
    double inside = 0, outside = 0;
    for (index j = 0; j < p.cols(); ++j) (span[std::size_t(j)] ? inside : outside) += p(i, j);
    if (inside == 0 || outside == 0) continue;
    for (index j = 0; j < p.cols(); ++j)
      p(i, j) *=
          span[std::size_t(j)] ? std::pow(inside, k - 1) : (1 - std::pow(inside, k)) / (1 - inside);
  }
  return p;
}

/// Spotlight: if π < least, log(least/π) is added to the scores of the span: its weights are
/// multiplied by least/π, and the row is divided by its new sum.
inline matrix spotlight(matrix p, const indices& span, double least) {
  for (index i = 0; i < p.rows(); ++i) {
    double inside = 0, sum = 0;
    for (index j = 0; j < p.cols(); ++j)
      if (span[std::size_t(j)]) inside += p(i, j);
    if (inside == 0 || inside >= least) continue;
    for (index j = 0; j < p.cols(); ++j) {
      if (span[std::size_t(j)]) p(i, j) *= least / inside;
      sum += p(i, j);
    }
    p.row(i) /= sum;
  }
  return p;
}

}  // namespace heed::reference::weights
