// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/segment/graph.hpp>

namespace heed::reference::segment {

/// ρ(x) = sgn(x) √|x|.
inline double signed_root(double x) { return x < 0 ? -std::sqrt(-x) : std::sqrt(x); }

struct grit_rows {
  matrix out;   // [N×Dv]
  matrix edge;  // ê [E×D]
};

/// GRIT (Ma et al., ICML 2023) for one head, after the projections: q [N×D], k a row a source,
/// w = W_Ew e, b = W_Eb e a row an edge, a [D], v a row a source, m [D×Dv] for W_Ev:
///   ê = relu(ρ((q_i + k_j) ⊙ w_e) + b_e),   α = softmax_j clamp(a·ê, ±5),
///   o_i = Σ_j α_ij (v_j + ê_ij m).
inline grit_rows grit(const graph& g, const matrix& q, const matrix& k, const matrix& v,
                      const matrix& w, const matrix& b, const vector& a, const matrix& m,
                      double bound = 5) {
  grit_rows r{matrix::Zero(q.rows(), v.cols()), matrix::Zero(w.rows(), w.cols())};
  for (index i = 0; i < q.rows(); ++i) {
    double sum = 0;
    for (index e = g.first(i); e < g.last(i); ++e) {
      const index j = g.to(e);
      for (index c = 0; c < q.cols(); ++c)
        r.edge(e, c) = std::max(0.0, signed_root((q(i, c) + k(j, c)) * w(e, c)) + b(e, c));
      const double p = std::exp(std::clamp(r.edge.row(e).dot(a), -bound, bound));
      r.out.row(i) += p * (v.row(j) + r.edge.row(e) * m);
      sum += p;
    }
    if (sum > 0) r.out.row(i) /= sum;
  }
  return r;
}

/// x ⊙ θ₁ + log(1 + deg) x ⊙ θ₂, a row a node.
inline matrix degree_scaled(const graph& g, const matrix& x, const vector& one, const vector& two) {
  matrix y = x;
  for (index i = 0; i < x.rows(); ++i)
    y.row(i) =
        x.row(i).cwiseProduct((one + std::log1p(double(g.last(i) - g.first(i))) * two).transpose());
  return y;
}

/// [I, M, …, M^{K−1}]_ij of every edge i ← j of `pairs`, M = D⁻¹A of g: [E×K].
inline matrix rrwp(const graph& g, const graph& pairs, index steps) {
  const index n = static_cast<index>(g.head.size()) - 1;
  matrix walk = matrix::Zero(n, n), power = matrix::Identity(n, n);
  for (index i = 0; i < n; ++i)
    for (index e = g.first(i); e < g.last(i); ++e)
      walk(i, g.to(e)) += 1.0 / double(g.last(i) - g.first(i));
  matrix p(pairs.last(n - 1), steps);
  for (index s = 0; s < steps; ++s, power = power * walk)
    for (index i = 0; i < n; ++i)
      for (index e = pairs.first(i); e < pairs.last(i); ++e) p(e, s) = power(i, pairs.to(e));
  return p;
}

}  // namespace heed::reference::segment
