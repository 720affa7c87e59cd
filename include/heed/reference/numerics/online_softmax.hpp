// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <limits>

#include <heed/reference/matrix.hpp>

namespace heed::reference::numerics {

/// Attention over some keys: its output [Lq×Dv] and the log of its normaliser [Lq].
struct part {
  matrix o;
  vector lse;
};

/// Softmax attention one key at a time (Milakov & Gimelshein; Rabe & Staats, Self-attention does
/// not need O(n²) memory): m' = max(m, s), l ← l·e^{m−m'} + e^{s−m'}, acc ← acc·e^{m−m'} +
/// e^{s−m'}v; o = acc / l, lse = m + log l. Rows without keys give zeros and −∞.
inline part online_softmax(const matrix& s, const allowed& a, const matrix& v) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  part out{matrix::Zero(s.rows(), v.cols()), vector::Constant(s.rows(), -infinity)};
  for (index i = 0; i < s.rows(); ++i) {
    double m = -infinity, l = 0;
    Eigen::RowVectorXd acc = Eigen::RowVectorXd::Zero(v.cols());
    for (index j = 0; j < s.cols(); ++j) {
      if (!a(i, j) || s(i, j) == -infinity) continue;
      const double m_new = std::fmax(m, s(i, j));
      const double keep = std::exp(m - m_new), weight = std::exp(s(i, j) - m_new);
      l = l * keep + weight;
      acc = acc * keep + weight * v.row(j);
      m = m_new;
    }
    if (l == 0) continue;
    out.o.row(i) = acc / l;
    out.lse(i) = m + std::log(l);
  }
  return out;
}

}  // namespace heed::reference::numerics
