// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// The delta rule (Schlag et al., Linear transformers are secretly fast weight programmers; Yang et
/// al., DeltaNet): S_t = (I − β_t k_t k_tᵀ)S_{t−1} + β_t k_t v_tᵀ, o_t = scale·S_tᵀq_t. β [L], in
/// (0, 1) or (0, 2); the papers have k of length 1.
inline scanned delta(const matrix& q, const matrix& k, const matrix& v, const vector& beta,
                     const carried& initial = {}, double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    const vector key = k.row(t);
    const matrix transition =
        matrix::Identity(key.size(), key.size()) - beta(t) * key * key.transpose();
    s = (transition * s + beta(t) * key * v.row(t)).eval();
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

}  // namespace heed::reference::recurrence
