// SPDX-License-Identifier: BSL-1.0
// Rounds of random caches.
#pragma once

#include "fuzz/kv_rows.hpp"
#include "fuzz/rounds.hpp"

namespace heed::fuzz {

inline kv_shape draw_kv_shape(engine& random) {
  return {.batch = between(random, 1, 4),
          .heads = between(random, 1, 3),
          .depth = between(random, 1, one_in(random, 3) ? 70 : 9),
          .value_depth = between(random, 0, one_in(random, 3) ? 70 : 9)};
}

}  // namespace heed::fuzz
