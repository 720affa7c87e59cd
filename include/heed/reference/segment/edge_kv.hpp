// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/segment/graph.hpp>

namespace heed::reference::segment {

/// HPNet (Tang et al., CVPR 2024) for one head: k_ij = k_j + r_ij, v_ij = v_j + s_ij,
/// α_ij = softmax_{j∈N(i)}(q_i·k_ij/√D), o_i = Σ_j α_ij v_ij. q [N×D], k, v a row a source,
/// r, s a row an edge. No neighbours: zeros.
inline matrix edge_kv(const graph& g, const matrix& q, const matrix& k, const matrix& v,
                      const matrix& r, const matrix& s, double scale) {
  matrix out = matrix::Zero(q.rows(), v.cols());
  for (index i = 0; i < q.rows(); ++i) {
    double top = -INFINITY, sum = 0;
    const auto score = [&](index e) { return scale * q.row(i).dot(k.row(g.to(e)) + r.row(e)); };
    for (index e = g.first(i); e < g.last(i); ++e) top = std::max(top, score(e));
    for (index e = g.first(i); e < g.last(i); ++e) {
      const double p = std::exp(score(e) - top);
      out.row(i) += p * (v.row(g.to(e)) + s.row(e));
      sum += p;
    }
    if (sum > 0) out.row(i) /= sum;
  }
  return out;
}

}  // namespace heed::reference::segment
