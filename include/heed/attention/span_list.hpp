// SPDX-License-Identifier: BSL-1.0
// Sorted disjoint spans: the keys that a task visits.
#pragma once

#include <algorithm>
#include <heed/core/position.hpp>

namespace heed::detail {

// Beyond the capacity a span joins its neighbour and what lies between: the list stays a superset.
class span_list {
 public:
  static constexpr index capacity = 32;

  const span* begin() const { return spans_; }
  const span* end() const { return spans_ + count_; }

  void add(span s) {
    if (s.empty()) return;
    index first = 0;
    while (first < count_ && spans_[first].end < s.begin) ++first;
    index last = first;
    for (; last < count_ && spans_[last].begin <= s.end; ++last) {
      s.begin = std::min(s.begin, spans_[last].begin);
      s.end = std::max(s.end, spans_[last].end);
    }
    if (first == last && count_ == capacity) {
      const index at = std::min(first, count_ - 1);
      spans_[at] = {std::min(spans_[at].begin, s.begin), std::max(spans_[at].end, s.end)};
      return;
    }
    if (first == last)
      std::copy_backward(spans_ + first, spans_ + count_, spans_ + count_ + 1);
    else
      std::copy(spans_ + last, spans_ + count_, spans_ + first + 1);
    count_ += 1 - (last - first);
    spans_[first] = s;
  }

 private:
  span spans_[capacity];
  index count_ = 0;
};

}  // namespace heed::detail
