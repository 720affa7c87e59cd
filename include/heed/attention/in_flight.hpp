// SPDX-License-Identifier: BSL-1.0
// How many kv heads of a call are packed at a time.
#pragma once

#include <algorithm>
#include <heed/simd/shape.hpp>

namespace heed::detail {

// Forward: one worker uses a head while it is in cache; several share as many as fit. `bytes` is
// what a head takes.
template <class T, class Arch> index heads_in_flight(index bytes, index heads, index workers) {
  const index fit = simd::shape<T, Arch>::in_flight / std::max<index>(bytes, 1);
  return workers == 1 ? 1 : std::clamp<index>(fit, 1, heads);
}
// Backward: a head for each worker at least.
template <class T, class Arch> index heads_in_reverse(index bytes, index heads, index workers) {
  const index fit = simd::shape<T, Arch>::in_flight / std::max<index>(bytes, 1);
  return std::clamp<index>(fit, std::min(workers, heads), std::max<index>(heads, 1));
}

}  // namespace heed::detail
