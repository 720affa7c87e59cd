// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// j < n: the keys kept beside a window; causal ∧ (window ∨ first_keys) is StreamingLLM
/// (Xiao et al., Efficient streaming language models with attention sinks).
inline allowed first_keys(index lq, index lk, index n) {
  return where(lq, lk, [=](index, index j) { return j < n; });
}

}  // namespace heed::reference::mask
