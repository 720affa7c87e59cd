// SPDX-License-Identifier: BSL-1.0
// A cache of constant size: the first tokens of a sequence and the last ones, of which a new token
// overwrites the oldest. What kv/ring.hpp and kv/streaming.hpp share.
//
//   slot   0 … first-1 | first … first+window+slack-1
//   token  0 … first-1 | the others, token n in slot first + (n - first) mod (window + slack)
//
// Every verb checks first and throws std::invalid_argument with the cache as it was; append,
// truncate, fork and run allocate nothing.
#pragma once

#include <heed/kv/source.hpp>
#include <heed/kv/store.hpp>

namespace heed {

class rolling_kv {
 public:
  index batch() const { return store_.shape().batch; }
  index heads() const { return store_.shape().heads; }
  index depth() const { return store_.shape().depth; }
  index value_depth() const { return store_.shape().value_depth; }
  // Tokens ever appended and not truncated, and those that are visible.
  index seen(index b) const { return of(b).seen; }
  index length(index b) const { return std::min(seen(b), first_ + window_); }
  std::size_t bytes() const { return store_.bytes(); }

  kv_run run(index b, index h, index t) const {
    const index hidden = seen(b) - length(b), n = t < first_ ? t : t + hidden;
    const index together = n < first_ && hidden > 0 ? first_ - n : first_ + ring() - slot_of(n);
    return store_.run(b, h, {b, slot_of(n)}, std::min(together, length(b) - t), false);
  }

  // One chunk for every sequence: k [B,Hkv,n,D], v [B,Hkv,n,Dv], of any element types and layouts.
  // O(min(n, slots)) rows. Throws on other shapes; there is always room.
  void append(const operand& k, const operand& v) {
    store_.check(append_, batch(), k, v);
    for (index b = 0; b < batch(); ++b) write(b, k, v, b);
  }
  // For sequence b alone: k [1,Hkv,n,D], v [1,Hkv,n,Dv].
  void append(index b, const operand& k, const operand& v) {
    check_sequence(append_, b);
    store_.check(append_, 1, k, v);
    write(b, k, v, 0);
  }
  // Takes back all but the first `seen` tokens ever appended (rejected drafts); 0 starts the
  // sequence anew. O(1). Throws if a token that would be visible again was overwritten: `slack`
  // tokens can always be taken back.
  void truncate(index b, index seen) {
    check_sequence(truncate_, b);
    sequence& s = of(b);
    if (seen < 0 || seen > s.seen)
      check::fail(truncate_, "sequence " + std::to_string(b) + " was given " +
                                 std::to_string(s.seen) + " tokens, not " + std::to_string(seen));
    const index oldest = std::max(first_, seen - window_);
    if (seen > oldest && oldest < s.kept)
      check::fail(truncate_, "token " + std::to_string(oldest) + " of sequence " +
                                 std::to_string(b) + " is overwritten, the oldest there is is " +
                                 std::to_string(s.kept));
    s.seen = seen;
    if (seen <= first_) s.kept = first_;
  }
  // Sequence `to` becomes a copy of `from`. O(slots) rows.
  void fork(index from, index to) {
    check_sequence(fork_, from), check_sequence(fork_, to);
    if (from == to) return;
    store_.copy_page(from, to, std::min(seen(from), first_ + ring()));
    of(to) = of(from);
  }

 protected:
  rolling_kv(const char* const (&names)[4], const kv_shape& shape, index first, index window,
             index slack, const kv_formats& formats)
      : append_(names[1]),
        truncate_(names[2]),
        fork_(names[3]),
        first_(first),
        window_(window),
        slack_(slack),
        store_(names[0], shape, formats, shape.batch, slots(names[0], first, window, slack)),
        all_(static_cast<std::size_t>(shape.batch), {0, first}) {
    if (store_.blocks())
      check::fail(names[0], "tokens that share a scale cannot be overwritten one by one");
  }

 private:
  struct sequence {
    index seen = 0;
    index kept = 0;  // the oldest token that is still in the ring
  };

  static index slots(const char* policy, index first, index window, index slack) {
    if (first < 0 || window < 1 || slack < 0)
      check::fail(policy,
                  "the window must be positive, the first tokens and the slack not "
                  "negative: " +
                      std::to_string(window) + ", " + std::to_string(first) + ", " +
                      std::to_string(slack));
    // None of the terms fits a store that is beyond the limit, nor does their sum.
    return std::min(first, kv_limit) + std::min(window, kv_limit) + std::min(slack, kv_limit);
  }
  index ring() const { return window_ + slack_; }
  index slot_of(index n) const { return n < first_ ? n : first_ + (n - first_) % ring(); }
  sequence& of(index b) { return all_[static_cast<std::size_t>(b)]; }
  const sequence& of(index b) const { return all_[static_cast<std::size_t>(b)]; }
  void check_sequence(const char* operation, index b) const {
    if (b < 0 || b >= batch())
      check::fail(operation,
                  "there are " + std::to_string(batch()) + " sequences, no " + std::to_string(b));
  }
  // Rows that the same chunk would overwrite are not written.
  void write(index b, const operand& k, const operand& v, index from) {
    sequence& s = of(b);
    const index n = k.extent[2], end = s.seen + n;
    for (index l = 0; l < n; ++l)
      if (const index token = s.seen + l; token < first_ || token >= end - ring())
        store_.write(b, {b, slot_of(token)}, k, v, from, l);
    s.seen = end;
    s.kept = std::max(s.kept, end - ring());
  }

  const char *append_, *truncate_, *fork_;
  index first_, window_, slack_;
  kv_store store_;
  std::vector<sequence> all_;
};

}  // namespace heed
