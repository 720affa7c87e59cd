// SPDX-License-Identifier: BSL-1.0
// The attention of a Llama layer: causal, rotated pairs next to each other.
#pragma once

#include <heed/attention/spec.hpp>
#include <heed/mask/causal.hpp>
#include <heed/position/rope.hpp>

#include "llama.hpp"

namespace sinks {

inline auto attention_of(const llama& m) {
  const heed::rope turn{heed::rotations::plain(m.head_dim()), heed::rope_pairs::interleaved};
  return heed::attention{.mask = heed::causal{}, .query = turn, .key = turn};
}

}  // namespace sinks
