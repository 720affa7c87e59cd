// SPDX-License-Identifier: BSL-1.0
// Spans in order of their beginnings, overlapping or not, given out as the union of them: sorted,
// disjoint and never touching, as masks emit them.
#pragma once

#include <algorithm>
#include <heed/core/position.hpp>

namespace heed::detail {

template <class F> class joined {
 public:
  constexpr joined(index keys, F& emit) : keys_(keys), emit_(emit) {}

  constexpr void add(span s) {
    s = {std::max<index>(s.begin, 0), std::min(s.end, keys_)};
    if (s.empty()) return;
    if (!held_.empty() && s.begin <= held_.end) {
      held_.end = std::max(held_.end, s.end);
      return;
    }
    flush();
    held_ = s;
  }
  // After the last one.
  constexpr void flush() {
    if (!held_.empty()) emit_(held_);
    held_ = {};
  }

 private:
  index keys_;
  F& emit_;
  span held_{};
};

}  // namespace heed::detail
