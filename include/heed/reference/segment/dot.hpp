// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/segment/softmax.hpp>

namespace heed::reference::segment {

/// s_e = q_to · k_from / √D + bias_e of one head.
inline vector dot_logits(const edges& g, const matrix& q, const matrix& k, const vector& bias) {
  vector s = bias;
  for (std::size_t e = 0; e < g.count(); ++e)
    s(index(e)) += q.row(g.to[e]).dot(k.row(g.from[e])) / std::sqrt(double(q.cols()));
  return s;
}

/// Attention along edges: o_i = Σ_e α_e v_from(e), α the softmax over the edges to i.
inline matrix dot(const edges& g, const matrix& q, const matrix& k, const matrix& v,
                  const vector& bias) {
  return weighted_sum(g, softmax(g, dot_logits(g, q, k, bias)), v);
}

}  // namespace heed::reference::segment
