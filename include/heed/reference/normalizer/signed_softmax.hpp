// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::normalizer {

/// p_ij = sign(s_ij)·softmax_j(|s_ij|) (Lv et al., Cog attention); sign(0) = 0.
inline matrix signed_softmax(const matrix& s, const allowed& a) {
  const matrix magnitude = softmax(s.cwiseAbs(), a);
  return a.select(s.array().sign() * magnitude.array(), 0.0).matrix();
}

}  // namespace heed::reference::normalizer
