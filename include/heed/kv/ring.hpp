// SPDX-License-Identifier: BSL-1.0
// kv/ring: the last `window` tokens of each sequence at their own positions; slot = position mod
// (window + slack).
//
//   heed::ring_kv cache({.batch = B, .heads = Hkv, .depth = D, .value_depth = D},
//                       {.window = 4096, .slack = 8});
// A call sees the last `window` tokens, the newest included. Where n queries at once shall each see
// w tokens (a mask window{w - 1}), take a window of w + n - 1. Verbs: append, truncate by up to
// `slack` tokens (drafts that were rejected), fork; see kv/rolling.hpp. end(b): tokens ever
// appended.
// Mistral, Jiang et al. 2023.
#pragma once

#include <heed/kv/rolling.hpp>

namespace heed {

struct kv_ring {
  index window = 0, slack = 0;
};

class ring_kv : public rolling_kv {
 public:
  // Throws on extents that are not positive, and on formats with scales a channel.
  ring_kv(const kv_shape& shape, const kv_ring& size, const kv_formats& formats = {})
      : rolling_kv(names, shape, 0, size.window, size.slack, formats) {}

  index end(index b) const { return seen(b); }

 private:
  static constexpr const char* names[4] = {"heed::ring_kv", "heed::ring_kv::append",
                                           "heed::ring_kv::truncate", "heed::ring_kv::fork"};
};

static_assert(kv_source<ring_kv>);

}  // namespace heed
