// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// x̂ = x / max(‖x‖, ε), row by row.
inline matrix unit_rows(const matrix& x, double eps) {
  return x.rowwise().norm().cwiseMax(eps).cwiseInverse().asDiagonal() * x;
}

/// s_ij = β·q̂_i·k̂_j (Liu et al., Swin Transformer V2).
inline matrix cosine(const matrix& q, const matrix& k, double beta, double eps) {
  return beta * unit_rows(q, eps) * unit_rows(k, eps).transpose();
}

/// β = e^{min(t, ln 100)} from the learned t of Swin V2.
inline double swin_beta(double t) { return std::exp(std::min(t, std::log(100.0))); }

}  // namespace heed::reference::similarity
