// SPDX-License-Identifier: BSL-1.0
// A cache that keeps every token until it is evicted: the verbs that kv/contiguous.hpp and
// kv/paged.hpp share. `Pages` says where token t of sequence b lies and finds it room.
//
// Every verb checks first and throws std::invalid_argument with the cache as it was: on sequences,
// lengths and lists that are not there, on rows of other shapes, and where there is no room.
// append, truncate and run allocate nothing.
#pragma once

#include <heed/kv/compact.hpp>
#include <heed/kv/source.hpp>

namespace heed {

// What a cache calls itself where it refuses.
struct kv_names {
  const char *append, *truncate, *fork, *evict;
};

template <class Pages> class placed_kv {
 public:
  index batch() const { return tokens_.batch(); }
  index heads() const { return store_.shape().heads; }
  index depth() const { return store_.shape().depth; }
  index value_depth() const { return store_.shape().value_depth; }
  index capacity() const { return tokens_.capacity(); }  // tokens of one sequence
  index length(index b) const { return tokens_.length(b); }
  // One beyond the position of the newest token ever appended and not truncated.
  index end(index b) const { return tokens_.end(b); }
  const index* places(index b, index h) const { return tokens_.places(b, h); }
  std::size_t bytes() const { return store_.bytes(); }  // of owned memory

  kv_run run(index b, index h, index t) const {
    const index n = length(b), left = std::min(n - t, pages_.together(t));
    return store_.run(b, h, pages_.at(b, t), left, t >= n - n % kv_block);
  }

  // One chunk for every sequence: k [B,Hkv,n,D], v [B,Hkv,n,Dv], of any element types and layouts.
  // O(n) rows. Throws on other shapes and where there is no room.
  void append(const operand& k, const operand& v) {
    store_.check(Pages::names.append, batch(), k, v);
    pages_.check_room(tokens_, 0, batch(), k.extent[2]);
    for (index b = 0; b < batch(); ++b) write(b, k, v, b);
  }
  // For sequence b alone: k [1,Hkv,n,D], v [1,Hkv,n,Dv].
  void append(index b, const operand& k, const operand& v) {
    tokens_.check_sequence(Pages::names.append, b);
    store_.check(Pages::names.append, 1, k, v);
    pages_.check_room(tokens_, b, b + 1, k.extent[2]);
    write(b, k, v, 0);
  }
  // Keeps the first `length` tokens of a sequence (rejected drafts); 0 starts it anew. O(1), with
  // scales a channel O(kv_block) rows where a full block is cut.
  void truncate(index b, index length) {
    tokens_.check_sequence(Pages::names.truncate, b);
    tokens_.check_length(Pages::names.truncate, b, length);
    reopen(b, b, length);
    tokens_.truncate(b, length);
    pages_.truncate(b, length);
  }
  // Sequence `to` becomes the first `length` tokens of `from`, or all of them. O(length) rows in a
  // contiguous cache, O(length / page) in a paged one.
  void fork(index from, index to) {
    tokens_.check_sequence(Pages::names.fork, from);
    fork(from, to, length(from));
  }
  void fork(index from, index to, index length) {
    tokens_.check_sequence(Pages::names.fork, from), tokens_.check_sequence(Pages::names.fork, to);
    tokens_.check_length(Pages::names.fork, from, length);
    if (from == to) return truncate(to, length);
    tokens_.copy(from, to);
    store_.keys().copy_open(from, to), store_.values().copy_open(from, to);
    pages_.fork(store_, from, to, length);
    reopen(to, to, length);
    tokens_.truncate(to, length);
  }
  // Keeps some tokens of sequence b, each at its own position; end(b) stays. `keep`: ascending
  // indices of tokens, one list for all heads or one a head [1,Hkv,n,1], or what a policy kept.
  // O(kept) rows; the first eviction of a sequence allocates its list of positions.
  void evict(index b, const token_lists& keep) {
    tokens_.check_sequence(Pages::names.evict, b);
    keep.check(Pages::names.evict, heads(), length(b));
    const index first = keep.first_moved(heads());
    if (keep.size() == length(b)) return;
    tokens_.prepare_list(b);
    const index n = keep.size(), from = store_.blocks() ? first - first % kv_block : first;
    if (first < n) pages_.own(store_, Pages::names.evict, b, from, n, length(b));
    if (first < n)
      detail::compact(store_, b, keep, first, length(b), [&](index t) { return pages_.at(b, t); });
    else
      reopen(b, b, n);
    tokens_.evict(b, keep);
    pages_.truncate(b, n);
  }

  // f(h, t, row) changes the keys of tokens [begin, end) of sequence b: D numbers of float, of
  // double where those are kept. Throws, naming the operation, on codes.
  template <class F> void rewrite_keys(const char* operation, index b, span tokens, const F& f) {
    tokens_.check_sequence(operation, b);
    const kv_rows& rows = store_.keys().rows;
    if (rows.format.quantized()) check::fail(operation, "codes cannot be turned in place");
    if (tokens.begin < 0 || tokens.end < tokens.begin || tokens.end > length(b))
      check::fail(operation, "sequence " + std::to_string(b) + " has no tokens " +
                                 std::to_string(tokens.begin) + " to " +
                                 std::to_string(tokens.end) + " of " + std::to_string(length(b)));
    if (tokens.empty()) return;
    pages_.own(store_, operation, b, tokens.begin, tokens.end, length(b));
    const auto rewrite = [&](auto* row) {
      for (index h = 0; h < heads(); ++h)
        for (index t = tokens.begin; t < tokens.end; ++t) {
          const kv_place at = pages_.at(b, t);
          load_stored(rows.at(at.page, h, at.slot), 0, depth(), row);
          f(h, t, row);
          rows.write(at.page, h, at.slot, row);
        }
    };
    if (rows.format.type == kv_type::f64)
      rewrite(store_.buffer());
    else
      rewrite(reinterpret_cast<float*>(store_.buffer()));
  }
  // Token t of sequence b comes to sit at position t; end(b) becomes length(b).
  void renumber(index b) {
    tokens_.check_sequence("heed::renumber", b);
    tokens_.renumber(b);
  }

 protected:
  placed_kv(kv_store store, Pages pages, index batch, index capacity)
      : store_(std::move(store)),
        pages_(std::move(pages)),
        tokens_(batch, store_.shape().heads, capacity) {}

  void write(index b, const operand& k, const operand& v, index from) {
    const index n = k.extent[2], start = length(b);
    pages_.make_room(store_, b, start, start + n);
    for (index l = 0; l < n; ++l) store_.write(b, pages_.at(b, start + l), k, v, from, l);
    tokens_.append(b, n);
  }
  // What is left of a block that was full is open again.
  void reopen(index b, index of, index length) {
    const index full = tokens_.length(of) - tokens_.length(of) % kv_block;
    if (!store_.blocks() || length >= full || length % kv_block == 0) return;
    const kv_place at = pages_.at(b, length);
    store_.keys().reopen(b, at.page, at.slot), store_.values().reopen(b, at.page, at.slot);
  }

  kv_store store_;
  Pages pages_;
  kv_tokens tokens_;
};

}  // namespace heed
