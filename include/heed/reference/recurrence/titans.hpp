// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

/// Memory and momentum [Dk×Dv], the memory that the last token was judged by, and tokens seen.
struct titans_memory {
  matrix m, s, start;
  index tokens = 0;
};

/// Titans with a linear memory (Behrouz et al., Titans: Learning to memorize at test time), M(x) =
/// Mᵀx and ℓ(M; k, v) = ‖Mᵀk − v‖²: S_t = η_t S_{t−1} − θ_t ∇ℓ(M_c; k_t, v_t), M_t = (1 − a_t)
/// M_{t−1} + S_t, y_t = M_tᵀ q_t, where M_c is the memory before the first token of t's chunk and
/// ∇ℓ = 2 k (M_cᵀk − v)ᵀ. q, k [L×Dk], v [L×Dv], log η, log(1 − a), θ [L].
inline matrix titans(const matrix& q, const matrix& k, const matrix& v, const vector& log_momentum,
                     const vector& log_keep, const vector& rate, index chunk,
                     titans_memory& memory) {
  matrix out(v.rows(), v.cols());
  matrix &m = memory.m, &s = memory.s, &start = memory.start;
  if (m.size() == 0) m = s = start = matrix::Zero(k.cols(), v.cols());
  for (index t = 0; t < v.rows(); ++t, ++memory.tokens) {
    if (memory.tokens % chunk == 0) start = m;
    const vector key = k.row(t).transpose(), error = start.transpose() * key - v.row(t).transpose();
    const matrix gradient = 2 * key * error.transpose();
    s = std::exp(log_momentum(t)) * s - rate(t) * gradient;
    m = std::exp(log_keep(t)) * m + s;
    out.row(t) = (m.transpose() * q.row(t).transpose()).transpose();
  }
  return out;
}

}  // namespace heed::reference::recurrence
