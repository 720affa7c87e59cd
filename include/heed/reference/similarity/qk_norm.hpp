// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// x ← g⊙x / rms(x), rms(x) = √(mean_c x_c² + ε), row by row, before RoPE; x [L×D], gain [D]
/// (Zhang & Sennrich, Root mean square layer normalization). Over all heads jointly: x [L × H·D].
inline matrix qk_norm(const matrix& x, const vector& gain, double eps) {
  const vector rms = (x.array().square().rowwise().mean() + eps).sqrt().matrix();
  return rms.cwiseInverse().asDiagonal() * x * gain.asDiagonal();
}

}  // namespace heed::reference::similarity
