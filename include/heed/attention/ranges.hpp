// SPDX-License-Identifier: BSL-1.0
// Ranges of keys as tasks, and the partial states that they leave to be merged.
#pragma once

#include <algorithm>
#include <atomic>
#include <heed/attention/span_list.hpp>
#include <heed/core/workspace.hpp>
#include <new>

namespace heed::detail {

struct key_range {
  index head = 0;
  span keys{};
};

// Ranges of `piece` keys of each head, in order. At most keys / piece + 2 a head.
class key_ranges {
 public:
  static index most(index keys, index piece) { return keys / piece + 2; }

  // `count` ranges at most; states of `state_bytes` bytes.
  key_ranges(arena& memory, index heads, index count, index piece, index state_bytes)
      : piece_(piece), state_bytes_(state_bytes) {
    memory.reserve(static_cast<std::size_t>(count * (index(sizeof(key_range)) + state_bytes) +
                                            heads * index(sizeof(head)) +
                                            3 * index(arena::alignment)));
    ranges_ = memory.take<key_range>(count);
    heads_ = memory.take<head>(heads);
    states_ = memory.take<std::byte>(count * state_bytes);
  }

  // Heads in order; `seen` are the keys that some of its queries may see. A head that sees none has
  // one empty range.
  void add(index h, const span_list& seen) {
    head& to = *new (heads_ + h) head{count_, 0, {}};
    index next = 0;
    for (const span s : seen)
      for (index first = std::max(s.begin / piece_ * piece_, next); first < s.end; first = next) {
        next = first + piece_;
        new (ranges_ + count_++) key_range{h, {first, next}};
      }
    if (count_ == to.first) new (ranges_ + count_++) key_range{h, {}};
    to.count = count_ - to.first;
    to.open.store(to.count, std::memory_order_relaxed);
  }

  index count() const { return count_; }
  const key_range& operator[](index i) const { return ranges_[i]; }
  bool alone(index i) const { return of(i).count == 1; }
  bool leads(index i) const { return of(i).first == i; }
  // Whether all ranges of the head are done with this one; what they saved can be read then.
  bool last(index i) const { return of(i).open.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  // The ranges of the head of range i.
  span siblings(index i) const { return {of(i).first, of(i).first + of(i).count}; }
  std::byte* state(index i) const { return states_ + i * state_bytes_; }

 private:
  struct head {
    index first, count;
    std::atomic<index> open;
  };
  head& of(index i) const { return heads_[ranges_[i].head]; }

  index piece_, state_bytes_, count_ = 0;
  key_range* ranges_;
  head* heads_;
  std::byte* states_;
};

}  // namespace heed::detail
