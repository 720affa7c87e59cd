// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/segment/graph.hpp>

namespace heed::reference::segment {

/// GatedGCN as in GPS (Rampášek et al., NeurIPS 2022), after the projections: a = Ax, d = Dx a row
/// a node, b = Bx, e = Ex a row a source, c = Ce a row an edge:
///   η_ij = σ(d_i + e_j + c_ij),   x'_i = a_i + Σ_j η_ij ⊙ b_j / (Σ_j η_ij + 1e−6).
inline matrix gated_gcn(const graph& g, const matrix& a, const matrix& b, const matrix& c,
                        const matrix& d, const matrix& e) {
  matrix out = a;
  for (index i = 0; i < a.rows(); ++i)
    for (index n = 0; n < a.cols(); ++n) {
      double top = 0, bottom = 1e-6;
      for (index at = g.first(i); at < g.last(i); ++at) {
        const index j = g.to(at);
        const double eta = 1 / (1 + std::exp(-(d(i, n) + e(j, n) + c(at, n))));
        top += eta * b(j, n), bottom += eta;
      }
      out(i, n) += top / bottom;
    }
  return out;
}

}  // namespace heed::reference::segment
