// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::heads {

/// The gate g [L×1] (one a row of this head) or [L×Dv] (one a channel), widened to Dv channels.
inline matrix widen(const matrix& g, index channels) {
  return g.cols() == channels ? g : matrix(g.replicate(1, channels));
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double silu(double x) { return x * sigmoid(x); }

/// O' = O ⊙ σ(g), after attention and before W_O (Qiu et al., Gated attention for large language
/// models).
inline matrix output_gate(const matrix& o, const matrix& logits) {
  return o.cwiseProduct(widen(logits.unaryExpr(&sigmoid), o.cols()));
}

/// O' = O ⊙ SiLU(g).
inline matrix output_gate_silu(const matrix& o, const matrix& logits) {
  return o.cwiseProduct(widen(logits.unaryExpr(&silu), o.cols()));
}

/// O' = O + SiLU(g).
inline matrix output_gate_additive(const matrix& o, const matrix& logits) {
  return o + widen(logits.unaryExpr(&silu), o.cols());
}

}  // namespace heed::reference::heads
