// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::plan {

/// Packed sequences: rows [cu_q[b], cu_q[b+1]) of q [ΣLq×D] attend rows [cu_k[b], cu_k[b+1]) of
/// k [ΣLk×D] and v [ΣLk×Dv], each sequence by itself (ByteTransformer; FlashAttention's varlen
/// form). attend(q_b, k_b, v_b) -> [Lq_b×Dv] is the operator on one sequence.
template <class Operator>
matrix varlen(const matrix& q, const matrix& k, const matrix& v, const indices& cu_q,
              const indices& cu_k, Operator attend) {
  matrix o = matrix::Zero(q.rows(), v.cols());
  for (std::size_t b = 0; b + 1 < cu_q.size(); ++b) {
    const index lq = cu_q[b + 1] - cu_q[b], lk = cu_k[b + 1] - cu_k[b];
    o.middleRows(cu_q[b], lq) =
        attend(matrix(q.middleRows(cu_q[b], lq)), matrix(k.middleRows(cu_k[b], lk)),
               matrix(v.middleRows(cu_k[b], lk)));
  }
  return o;
}

}  // namespace heed::reference::plan
