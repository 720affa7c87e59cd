// SPDX-License-Identifier: BSL-1.0
// How many tokens each sequence of a cache has, and at which positions they sit.
//
// Token t sits at position t until some are evicted; from then on a list a head says where.
#pragma once

#include <algorithm>
#include <heed/kv/token_lists.hpp>
#include <memory>
#include <vector>

namespace heed {

class kv_tokens {
 public:
  kv_tokens(index batch, index heads, index capacity)
      : heads_(heads), capacity_(capacity), all_(static_cast<std::size_t>(batch)) {}

  index batch() const { return static_cast<index>(all_.size()); }
  index capacity() const { return capacity_; }
  index length(index b) const { return of(b).length; }
  index end(index b) const { return of(b).end; }
  const index* places(index b, index h) const {
    return of(b).listed ? of(b).places.get() + h * capacity_ : nullptr;
  }

  void append(index b, index n) {
    sequence& s = of(b);
    if (s.listed)
      for (index h = 0; h < heads_; ++h)
        for (index i = 0; i < n; ++i) place(s, h, s.length + i) = s.end + i;
    s.length += n, s.end += n;
  }
  void truncate(index b, index length) {
    sequence& s = of(b);
    if (!s.listed) s.end = length;
    if (s.listed && length >= s.settled) s.end -= s.length - length;
    if (s.listed && length < s.settled) {
      s.end = 0;
      for (index h = 0; h < heads_ && length > 0; ++h)
        s.end = std::max(s.end, place(s, h, length - 1) + 1);
      s.settled = length;
    }
    s.length = length;
    if (length == 0) s.listed = false, s.end = 0;
  }
  // Allocates the list of a sequence that is to have one; what follows cannot fail.
  void prepare_list(index b) {
    if (!of(b).places) of(b).places.reset(new index[static_cast<std::size_t>(heads_ * capacity_)]);
  }
  void copy(index from, index to) {
    if (of(from).listed) prepare_list(to);
    const sequence& s = of(from);
    sequence& t = of(to);
    t.length = s.length, t.end = s.end, t.settled = s.settled, t.listed = s.listed;
    for (index h = 0; h < heads_ && s.listed; ++h)
      std::copy_n(s.places.get() + h * capacity_, s.length, t.places.get() + h * capacity_);
  }
  // After prepare_list.
  void evict(index b, const token_lists& keep) {
    sequence& s = of(b);
    for (index h = 0; h < heads_; ++h)
      for (index i = 0; i < keep.size(); ++i)
        place(s, h, i) = s.listed ? place(s, h, keep(h, i)) : keep(h, i);
    s.listed = true, s.length = s.settled = keep.size();
  }
  void renumber(index b) {
    sequence& s = of(b);
    s.listed = false, s.end = s.length;
  }

  void check_sequence(const char* operation, index b) const {
    if (b < 0 || b >= batch())
      check::fail(operation,
                  "there are " + std::to_string(batch()) + " sequences, no " + std::to_string(b));
  }
  void check_length(const char* operation, index b, index length) const {
    if (length < 0 || length > this->length(b))
      check::fail(operation, "sequence " + std::to_string(b) + " has " +
                                 std::to_string(this->length(b)) + " tokens, not " +
                                 std::to_string(length));
  }

 private:
  struct sequence {
    index length = 0, end = 0;
    index settled = 0;  // tokens left by the last eviction; those after them are consecutive
    bool listed = false;
    std::unique_ptr<index[]> places;  // [Hkv, capacity]
  };
  sequence& of(index b) { return all_[static_cast<std::size_t>(b)]; }
  const sequence& of(index b) const { return all_[static_cast<std::size_t>(b)]; }
  index& place(sequence& s, index h, index t) {
    return s.places[static_cast<std::size_t>(h * capacity_ + t)];
  }

  index heads_, capacity_;
  std::vector<sequence> all_;
};

}  // namespace heed
