// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/similarity/dot.hpp>

namespace heed::reference::kv {

/// softmax(c·q[Kᵀ K'])[V; V']: n more slots k' [n×D], v' [n×Dv] that every row sees (prefix
/// prompts, persistent memory; v' = 0 is the key bias of Sun et al., Massive activations). a
/// [Lq×Lk] is the mask on the ordinary keys.
inline matrix extra(const matrix& q, const matrix& k, const matrix& v, const matrix& k_extra,
                    const matrix& v_extra, double scale, const allowed& a) {
  matrix keys(k.rows() + k_extra.rows(), k.cols()), values(keys.rows(), v.cols());
  keys << k, k_extra;
  values << v, v_extra;
  allowed mask(q.rows(), keys.rows());
  mask << a, allowed::Constant(q.rows(), k_extra.rows(), true);
  return attention(normalizer::softmax(similarity::dot(q, keys, scale), mask), values);
}

/// O + v*: a bias on the value path alone, v* [Dv].
inline matrix value_bias(const matrix& o, const vector& v) { return o.rowwise() + v.transpose(); }

}  // namespace heed::reference::kv
