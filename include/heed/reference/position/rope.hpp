// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::position {

/// Which channels of the first R turn together: neox (c, c + R/2), interleaved (2c, 2c + 1).
enum class pairing { neox, interleaved };

/// Turns the channel pairs of x [L×D] by angles [L × R/2], R ≤ D; channels from R on pass through:
/// (a, b) ← magnitude·(a cos − b sin, a sin + b cos).
inline matrix rotate(const matrix& x, const matrix& angles, pairing pairs, double magnitude = 1) {
  const index half = angles.cols();
  matrix y = x;
  for (index l = 0; l < x.rows(); ++l)
    for (index c = 0; c < half; ++c) {
      const index first = pairs == pairing::neox ? c : 2 * c;
      const index second = pairs == pairing::neox ? c + half : 2 * c + 1;
      const double cosine = magnitude * std::cos(angles(l, c));
      const double sine = magnitude * std::sin(angles(l, c));
      y(l, first) = x(l, first) * cosine - x(l, second) * sine;
      y(l, second) = x(l, first) * sine + x(l, second) * cosine;
    }
  return y;
}

/// θ_c for each of the R/2 pairs, and the factor on cos and sin.
struct frequencies {
  vector theta;
  double magnitude = 1;
};

/// θ_c = base^{−2c/R}, c = 0 … R/2 − 1 (Su et al., RoFormer).
inline frequencies unscaled(index r, double base) {
  frequencies out{vector(r / 2)};
  for (index c = 0; c < r / 2; ++c)
    out.theta(c) = std::pow(base, -2 * static_cast<double>(c) / static_cast<double>(r));
  return out;
}

/// Rotary position embedding (Su et al., RoFormer): pair c of row l turns by positions[l]·θ_c.
/// The opposite positions give the inverse of a rotation of magnitude 1.
inline matrix rope(const matrix& x, const vector& positions, const frequencies& f, pairing pairs) {
  return rotate(x, positions * f.theta.transpose(), pairs, f.magnitude);
}

}  // namespace heed::reference::position
