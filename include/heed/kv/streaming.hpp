// SPDX-License-Identifier: BSL-1.0
// kv/streaming: the first tokens of each sequence, which draw attention whatever they are, and the
// last `window`; positions count inside the cache (Xiao et al., Efficient streaming language models
// with attention sinks, 2023).
//
//   heed::streaming_kv cache({.batch = B, .heads = Hkv, .depth = D, .value_depth = D},
//                            {.first = 4, .window = 2044});
//   const heed::rope turn{…};
//   heed::attend(heed::attention{.query = turn, .key = turn}, q, cache, out);
// Keys are kept as they come: append them before any rotation, and let `.key` turn each by its
// place. end(b) == length(b). Verbs: append, truncate, fork; see kv/rolling.hpp.
#pragma once

#include <heed/kv/rolling.hpp>

namespace heed {

struct kv_streaming {
  index first = 4, window = 0, slack = 0;
};

class streaming_kv : public rolling_kv {
 public:
  // Throws on extents that are not positive, and on formats with scales a channel.
  streaming_kv(const kv_shape& shape, const kv_streaming& size, const kv_formats& formats = {})
      : rolling_kv(names, shape, size.first, size.window, size.slack, formats) {}

  index end(index b) const { return length(b); }

 private:
  static constexpr const char* names[4] = {"heed::streaming_kv", "heed::streaming_kv::append",
                                           "heed::streaming_kv::truncate",
                                           "heed::streaming_kv::fork"};
};

static_assert(kv_source<streaming_kv>);

}  // namespace heed
