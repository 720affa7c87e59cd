// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// Contextual positions (Golovneva et al., CoPE): g_ij = σ(s_ij), p_ij = Σ_{t≥j} g_it over the
/// allowed keys, at most p_max; s_ij + q_i·e[p_ij], between e[⌊p⌋] and e[⌈p⌉] along a line.
/// s [Lq×Lk], q [Lq×D], e [p_max+1 × D].
inline matrix contextual(const matrix& s, const matrix& q, const matrix& e, const allowed& a) {
  matrix to = s;
  const double most = double(e.rows() - 1);
  for (index i = 0; i < s.rows(); ++i) {
    double sum = 0;
    for (index j = s.cols(); j-- > 0;) {
      if (!a(i, j)) continue;
      sum += 1 / (1 + std::exp(-s(i, j)));
      const double p = std::min(sum, most), low = std::floor(p), high = std::ceil(p);
      to(i, j) += (1 - (p - low)) * q.row(i).dot(e.row(index(low))) +
                  (p - low) * q.row(i).dot(e.row(index(high)));
    }
  }
  return to;
}

}  // namespace heed::reference::score
