// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/segment/graph.hpp>

namespace heed::reference::segment {

/// What Graph-Aware Isomorphic Attention (Buehler, 2025) takes from GIN (Xu et al., 2019) and PNA
/// (Corso et al., 2020), for one head: x a row a source, Â_e ≥ 0 an edge, those of 0 being none.
/// A row is [sum, mean, max, min, deviation, variance] of D channels each, deg = Σ_j Â_ij:
///   sum = ε x_i + Σ_j Â_ij x_j      mean = Σ_j Â_ij x_j / deg      max, min of x_j over Â_ij > 0
///   variance = Σ_j Â_ij (x_j − mean)² / deg                       deviation = √(variance + 1e−5)
/// No neighbours: zeros, but for ε x_i.
inline matrix gin_pna(const graph& g, const matrix& x, const vector& weight, double self) {
  const index rows = static_cast<index>(g.head.size()) - 1, depth = x.cols();
  matrix out = matrix::Zero(rows, 6 * depth);
  for (index i = 0; i < rows; ++i)
    for (index c = 0; c < depth; ++c) {
      double sum = 0, mass = 0, most = -INFINITY, least = INFINITY, spread = 0;
      for (index e = g.first(i); e < g.last(i); ++e) {
        if (weight(e) == 0) continue;
        const double xj = x(g.to(e), c);
        sum += weight(e) * xj, mass += weight(e);
        most = std::max(most, xj), least = std::min(least, xj);
      }
      out(i, c) = sum + (self != 0 ? self * x(i, c) : 0);
      if (mass == 0) continue;
      for (index e = g.first(i); e < g.last(i); ++e)
        spread += weight(e) * std::pow(x(g.to(e), c) - sum / mass, 2) / mass;
      out(i, depth + c) = sum / mass;
      out(i, 2 * depth + c) = most;
      out(i, 3 * depth + c) = least;
      out(i, 4 * depth + c) = std::sqrt(spread + 1e-5);
      out(i, 5 * depth + c) = spread;
    }
  return out;
}

}  // namespace heed::reference::segment
