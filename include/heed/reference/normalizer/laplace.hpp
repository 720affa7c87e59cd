// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <numbers>

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

/// p = ½(1 + erf((s − μ)/(σ√2))), μ = √½, σ = √(1/4π), no row sum (Ma et al., Mega).
inline matrix laplace(const matrix& s, const allowed& a) {
  const double mu = std::sqrt(0.5), sigma = std::sqrt(0.25 / std::numbers::pi);
  return weigh(s, a, [=](double x) {
    return 0.5 * (1 + std::erf((x - mu) / (sigma * std::numbers::sqrt2)));
  });
}

}  // namespace heed::reference::normalizer
