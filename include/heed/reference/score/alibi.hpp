// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// m_h = 2^{−8h/H}, h = 1…H. H not a power of two: the slopes of the power P below it, then every
/// second slope of 2P, beginning with its first.
inline vector alibi_slopes(index heads) {
  index power = 1;
  while (2 * power <= heads) power *= 2;
  vector m(heads);
  for (index h = 0; h < heads; ++h) {
    const double exponent =
        h < power ? static_cast<double>(h + 1) / static_cast<double>(power)
                  : static_cast<double>(2 * (h - power) + 1) / static_cast<double>(2 * power);
    m(h) = std::exp2(-8 * exponent);
  }
  return m;
}

/// s_ij + m·(j − i), query row r at i = r + offset (Press et al., Train short, test long).
inline matrix alibi(matrix s, double slope, index offset) {
  for (index r = 0; r < s.rows(); ++r)
    for (index j = 0; j < s.cols(); ++j) s(r, j) += slope * static_cast<double>(j - (r + offset));
  return s;
}

/// s_ij − m·|i − j|, for attention in both directions.
inline matrix alibi_symmetric(matrix s, double slope, index offset) {
  for (index r = 0; r < s.rows(); ++r)
    for (index j = 0; j < s.cols(); ++j)
      s(r, j) -= slope * std::abs(static_cast<double>(j - (r + offset)));
  return s;
}

}  // namespace heed::reference::score
