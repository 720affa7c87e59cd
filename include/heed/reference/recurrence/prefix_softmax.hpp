// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <limits>

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

/// (m, u, w) of Aaren (Feng et al., Attention as an RNN): u = Σ e^{s_j − m}, w = Σ e^{s_j − m} v_j,
/// m = max s_j. Nothing seen: m = −∞.
struct prefix {
  double m = -std::numeric_limits<double>::infinity(), u = 0;
  vector w;
};

/// (m, u, w) ⊕ (m', u', w') = (M, u e^{m−M} + u' e^{m'−M}, w e^{m−M} + w' e^{m'−M}). A part that
/// saw nothing takes no part, whatever its w holds.
inline prefix merge(const prefix& a, const prefix& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (b.m == -infinity) return a;
  if (a.m == -infinity) return b;
  const double m = std::fmax(a.m, b.m), x = std::exp(a.m - m), y = std::exp(b.m - m);
  return {m, a.u * x + b.u * y, a.w * x + b.w * y};
}

/// o_t = w_t / u_t of the prefix of tokens up to t, zeros where it is empty; s [L], v [L×Dv]. A
/// token is (s_t, 1, v_t). `state` becomes that after the last token.
inline matrix prefix_softmax(const vector& s, const matrix& v, prefix& state) {
  matrix out = matrix::Zero(v.rows(), v.cols());
  if (state.w.size() == 0) state.w = vector::Zero(v.cols());
  for (index t = 0; t < v.rows(); ++t) {
    state = merge(state, {s(t), 1, v.row(t).transpose()});
    if (state.u != 0) out.row(t) = state.w.transpose() / state.u;
  }
  return out;
}

}  // namespace heed::reference::recurrence
