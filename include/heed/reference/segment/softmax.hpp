// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/matrix.hpp>

/// Graphs are lists of edges in any order: edge e goes from node from[e] to node to[e].
namespace heed::reference::segment {

struct edges {
  indices to, from;
  index nodes = 0;  // destinations

  std::size_t count() const { return to.size(); }
};

/// DPA4's weights of one head: α_e = c_e² w_e e^{l_e} / (extra_i + Σ c² w e^l), the sum over the
/// edges to the same node i. extra_i is whatever else the denominator has, softplus(ζ) + ε or
/// e^{null}.
inline vector softmax(const edges& g, const vector& logits, const vector& weight,
                      const vector& cutoff, const vector& extra) {
  vector largest = vector::Constant(g.nodes, -1e300), sum(g.nodes), alpha(logits.size());
  for (std::size_t e = 0; e < g.count(); ++e)
    largest(g.to[e]) = std::max(largest(g.to[e]), logits(index(e)));
  for (index i = 0; i < g.nodes; ++i) sum(i) = extra(i) == 0 ? 0 : extra(i) * std::exp(-largest(i));
  for (std::size_t n = 0; n < g.count(); ++n) {
    const auto e = index(n);
    alpha(e) = cutoff(e) * cutoff(e) * weight(e) * std::exp(logits(e) - largest(g.to[n]));
    sum(g.to[n]) += alpha(e);
  }
  for (std::size_t e = 0; e < g.count(); ++e)
    if (alpha(index(e)) != 0) alpha(index(e)) /= sum(g.to[e]);
  return alpha;
}

/// The plain softmax over the edges that come to a node.
inline vector softmax(const edges& g, const vector& logits) {
  const vector one = vector::Ones(logits.size());
  return softmax(g, logits, one, one, vector::Zero(g.nodes));
}

/// o_i = Σ_e α_e v_from(e); zero for a node to which no edge comes.
inline matrix weighted_sum(const edges& g, const vector& alpha, const matrix& v) {
  matrix o = matrix::Zero(g.nodes, v.cols());
  for (std::size_t e = 0; e < g.count(); ++e) o.row(g.to[e]) += alpha(index(e)) * v.row(g.from[e]);
  return o;
}

}  // namespace heed::reference::segment
