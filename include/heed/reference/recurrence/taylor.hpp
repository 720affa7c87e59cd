// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/linear.hpp>

namespace heed::reference::recurrence {

/// Features whose product is the Taylor series of e^z up to z^n, z = q·k/√D, n = 1 or 2 (Arora et
/// al., Based): φ(x) = [1, x/D^{1/4}, vec(xxᵀ)/√(2D)], 1 + D + D² of them for n = 2.
inline vector taylor_feature(const vector& x, int n) {
  const index d = x.size();
  const double width = double(d);
  vector phi(n == 1 ? 1 + d : 1 + d + d * d);
  phi(0) = 1;
  phi.segment(1, d) = x / std::pow(width, 0.25);
  if (n == 2)
    for (index a = 0; a < d; ++a) phi.segment(1 + d + a * d, d) = x(a) * x / std::sqrt(2 * width);
  return phi;
}

/// Linear attention with these features, normalised (Based: plus ε).
inline scanned taylor(const matrix& q, const matrix& k, const matrix& v, int n, bool causal = true,
                      double epsilon = 0, const carried& initial = {}) {
  const auto phi = [n](const vector& x) { return taylor_feature(x, n); };
  return linear(q, k, v, phi, {.read = readout::normalised, .causal = causal, .epsilon = epsilon},
                initial);
}

}  // namespace heed::reference::recurrence
