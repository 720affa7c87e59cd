// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include <heed/reference/position/rope.hpp>

namespace heed::reference::position {

/// θ_c / f: position interpolation (Chen et al.).
inline frequencies linear(index r, double base, double f) { return {unscaled(r, base).theta / f}; }

/// base·f^{R/(R−2)}: NTK-aware scaling.
inline frequencies ntk(index r, double base, double f) {
  return unscaled(r, base * std::pow(f, static_cast<double>(r) / static_cast<double>(r - 2)));
}

/// base·(f·L/L₀ − f + 1)^{R/(R−2)} for L > L₀, unscaled up to there.
inline frequencies dynamic_ntk(index r, double base, double f, double l, double l0) {
  return ntk(r, base, f * std::max(l, l0) / l0 - f + 1);
}

/// YaRN (Peng et al.): θ[(1−γ)/f + γ], γ = 1 − clamp((c−lo)/(hi−lo), 0, 1), lo = ⌊d(β_fast)⌋,
/// hi = ⌈d(β_slow)⌉, d(β) = R·ln(L₀/2πβ)/(2 ln base), magnitude 0.1 ln f + 1.
inline frequencies yarn(index r, double base, double f, double l0, double beta_fast = 32,
                        double beta_slow = 1) {
  const double pi2 = 2 * std::numbers::pi, pairs = static_cast<double>(r) / 2;
  const auto d = [=](double beta) { return pairs * std::log(l0 / (pi2 * beta)) / std::log(base); };
  const double lo = std::floor(d(beta_fast)), hi = std::max(std::ceil(d(beta_slow)), lo + 1e-3);
  frequencies out = unscaled(r, base);
  for (index c = 0; c < r / 2; ++c) {
    const double gamma = 1 - std::clamp((static_cast<double>(c) - lo) / (hi - lo), 0.0, 1.0);
    out.theta(c) *= (1 - gamma) / f + gamma;
  }
  out.magnitude = f > 1 ? 0.1 * std::log(f) + 1 : 1;
  return out;
}

/// Llama 3.1: λ = 2π/θ; λ < L₀/h: θ, λ > L₀/l: θ/f, else (1−t)θ/f + tθ, t = (L₀/λ − l)/(h − l).
inline frequencies llama3(index r, double base, double f, double l, double h, double l0) {
  return {unscaled(r, base).theta.unaryExpr([=](double theta) {
    const double t = std::clamp((l0 * theta / (2 * std::numbers::pi) - l) / (h - l), 0.0, 1.0);
    return (1 - t) * theta / f + t * theta;
  })};
}

/// LongRoPE (Ding et al.): θ_c / factor_c, magnitude √(1 + ln f / ln L₀); factors [R/2].
inline frequencies longrope(index r, double base, const vector& factors, double f, double l0) {
  return {unscaled(r, base).theta.cwiseQuotient(factors),
          f > 1 ? std::sqrt(1 + std::log(f) / std::log(l0)) : 1};
}

}  // namespace heed::reference::position
