// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::heads {

/// One head of multi-head latent attention (DeepSeek-V2): k_j = W_UK c_j, v_j = W_UVᵀ c_j,
/// s_ij = (q^C_i·k_j + q^R_i·k^R_j) / √(Dc + Dr), o_i = Σ_j p_ij v_j.
/// q^C [Lq×Dc], q^R [Lq×Dr], c [Lk×r], k^R [Lk×Dr], W_UK [Dc×r], W_UV [r×Dv]; q^R and k^R rotated.
inline matrix mla(const matrix& q_content, const matrix& q_rope, const matrix& c,
                  const matrix& k_rope, const matrix& w_uk, const matrix& w_uv, const allowed& a) {
  const matrix k = c * w_uk.transpose(), v = c * w_uv;
  const double scale = 1 / std::sqrt(double(q_content.cols() + q_rope.cols()));
  const matrix s = scale * (q_content * k.transpose() + q_rope * k_rope.transpose());
  return attention(normalizer::softmax(s, a), v);
}

}  // namespace heed::reference::heads
