// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// Σ_i w_i p_ij and, of the same rows, N_j = Σ_i w_i and Σ_i w_i p_ij² / N_j − (Σ_i w_i p_ij /
/// N_j)².
struct columns_summed {
  vector mass, count, variance;
};

/// w [Lq] weighs the queries; with `later` only queries at or after the key's position count, query
/// row i at position i + Lk − Lq. p [Lq×Lk].
inline columns_summed column_mass(const matrix& p, const vector& w, bool later) {
  columns_summed x{vector::Zero(p.cols()), vector::Zero(p.cols()), vector::Zero(p.cols())};
  for (index j = 0; j < p.cols(); ++j) {
    double squares = 0;
    for (index i = 0; i < p.rows(); ++i) {
      if (later && i + p.cols() - p.rows() < j) continue;
      x.mass(j) += w(i) * p(i, j);
      x.count(j) += w(i);
      squares += w(i) * p(i, j) * p(i, j);
    }
    if (x.count(j) == 0) continue;
    const double mean = x.mass(j) / x.count(j);
    x.variance(j) = squares / x.count(j) - mean * mean;
  }
  return x;
}

/// The share of heads (rows of a [heads×Lk]) whose a_k exceeds ε.
inline double sink_rate(const matrix& a, index key, double epsilon) {
  index sinks = 0;
  for (index h = 0; h < a.rows(); ++h) sinks += a(h, key) > epsilon;
  return a.rows() == 0 ? 0 : double(sinks) / double(a.rows());
}

}  // namespace heed::reference::observe
