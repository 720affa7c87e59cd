// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/select/lists.hpp>

namespace heed::reference::select {

/// Rows without their mean, over their deviation.
inline matrix layer_norm(matrix x, double eps = 1e-5) {
  for (index i = 0; i < x.rows(); ++i) {
    x.row(i).array() -= x.row(i).mean();
    x.row(i) /= std::sqrt(x.row(i).squaredNorm() / double(x.cols()) + eps);
  }
  return x;
}

/// Roy et al. 2021, algorithm 1: each centroid of mu [C×D] takes its w queries and keys; o is the
/// mean over the clusters that a query is in.
inline matrix routing(const matrix& q, const matrix& k, const matrix& v, const matrix& mu, index w,
                      const allowed& mask) {
  const matrix nq = layer_norm(q), nk = layer_norm(k);
  matrix o = matrix::Zero(q.rows(), v.cols());
  vector clusters = vector::Zero(q.rows());
  for (index c = 0; c < mu.rows(); ++c) {
    const indices queries = largest(nq * mu.row(c).transpose(), w);
    const indices keys = largest(nk * mu.row(c).transpose(), w);
    o += among(nq, nk, v, queries, keys, mask);
    for (const index i : queries) clusters(i) += 1;
  }
  for (index i = 0; i < o.rows(); ++i)
    if (clusters(i) > 0) o.row(i) /= clusters(i);
  return o;
}

/// μ_c ← λ μ_c + (1-λ)/2 Σ of the normalised rows nearest to c, over the given sequences.
inline matrix moved_centroids(const matrix& mu, const std::vector<matrix>& sequences,
                              double decay) {
  matrix sum = matrix::Zero(mu.rows(), mu.cols());
  for (const matrix& x : sequences) {
    const matrix n = layer_norm(x), s = n * mu.transpose();
    for (index i = 0; i < x.rows(); ++i) {
      index best = 0;
      for (index c = 1; c < mu.rows(); ++c)
        if (s(i, c) > s(i, best)) best = c;
      sum.row(best) += n.row(i);
    }
  }
  return decay * mu + (1 - decay) / 2 * sum;
}

}  // namespace heed::reference::select
