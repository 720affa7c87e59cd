// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/position/rope.hpp>

namespace heed::reference::kv {

/// K ← R(Δ) K: keys [n×D] that are rotated already, each of which moves by as many positions as
/// `by` says. Their magnitude is in them.
inline matrix rerotate(const matrix& k, const vector& by, position::frequencies f,
                       position::pairing pairs) {
  f.magnitude = 1;
  return position::rope(k, by, f, pairs);
}

}  // namespace heed::reference::kv
