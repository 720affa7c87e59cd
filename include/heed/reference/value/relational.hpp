// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <heed/reference/matrix.hpp>
#include <vector>

namespace heed::reference::value {

/// Relational attention of one head (Altabaa & Lafferty): o_i = Σ_j p_ij (r_ij W_r + s_j W_s),
/// r_ij = c (q_i^l·k_j^l)_l. p [Lq×Lk]; q^l [Lq×Dr], k^l [Lk×Dr] for each of R relations;
/// W_r [R×Dv], s [Lk×Ds], W_s [Ds×Dv].
inline matrix relational(const matrix& p, const std::vector<matrix>& q,
                         const std::vector<matrix>& k, const matrix& w_r, const matrix& s,
                         const matrix& w_s, double c) {
  matrix o = matrix::Zero(p.rows(), w_r.cols());
  for (index i = 0; i < p.rows(); ++i)
    for (index j = 0; j < p.cols(); ++j) {
      if (p(i, j) == 0) continue;
      vector r(w_r.rows());
      for (std::size_t l = 0; l < q.size(); ++l) r(index(l)) = c * q[l].row(i).dot(k[l].row(j));
      o.row(i) += p(i, j) * (r.transpose() * w_r + s.row(j) * w_s);
    }
  return o;
}

/// With symbols of relative positions in place of s_j: a_{clip(j − i, −m, m) + m}, a [(2m+1)×Ds];
/// query 0 at position `first`.
inline matrix relational_by_distance(const matrix& p, const std::vector<matrix>& q,
                                     const std::vector<matrix>& k, const matrix& w_r,
                                     const matrix& a, const matrix& w_s, double c, index first) {
  const index m = a.rows() / 2;
  matrix o = relational(p, q, k, w_r, matrix::Zero(p.cols(), a.cols()), w_s, c);
  for (index i = 0; i < p.rows(); ++i)
    for (index j = 0; j < p.cols(); ++j)
      o.row(i) += p(i, j) * a.row(std::clamp(j - (i + first), -m, m) + m) * w_s;
  return o;
}

}  // namespace heed::reference::value
