// SPDX-License-Identifier: BSL-1.0
// kv/contiguous: the tokens of a sequence one after another, [B, Hkv, capacity, D].
//
//   heed::contiguous_kv cache({.batch = B, .heads = Hkv, .depth = D, .value_depth = D}, 4096);
//   cache.append(as<"BLHD">(k), as<"BLHD">(v));
//
// Verbs: append, truncate, fork (copies), evict; see kv/placed.hpp.
#pragma once

#include <heed/kv/placed.hpp>

namespace heed {
namespace detail {

// Sequence b is page b.
struct whole_pages {
  static constexpr kv_names names{"heed::contiguous_kv::append", "heed::contiguous_kv::truncate",
                                  "heed::contiguous_kv::fork", "heed::contiguous_kv::evict"};
  index capacity = 0;

  kv_place at(index b, index t) const { return {b, t}; }
  index together(index t) const { return capacity - t; }
  void check_room(const kv_tokens& tokens, index first, index last, index n) const {
    for (index b = first; b < last; ++b)
      if (n > capacity - tokens.length(b))
        check::fail(names.append, "sequence " + std::to_string(b) + " has " +
                                      std::to_string(tokens.length(b)) + " of " +
                                      std::to_string(capacity) + " tokens: no room for " +
                                      std::to_string(n));
  }
  void make_room(const kv_store&, index, index, index) {}
  void own(const kv_store&, const char*, index, index, index, index) {}
  void truncate(index, index) {}
  void fork(const kv_store& store, index from, index to, index length) {
    store.copy_page(from, to, length);
  }
};

}  // namespace detail

class contiguous_kv : public placed_kv<detail::whole_pages> {
 public:
  // Room for `capacity` tokens a sequence. Throws on extents that are not positive and on formats
  // that say two things at once.
  contiguous_kv(const kv_shape& shape, index capacity, const kv_formats& formats = {})
      : placed_kv(kv_store("heed::contiguous_kv", shape, formats, shape.batch,
                           rounded(capacity, formats)),
                  {capacity}, shape.batch, capacity) {}
  // Over the caller's tensors k [B,Hkv,capacity,D] and v [B,Hkv,capacity,Dv] of float, double, half
  // or bfloat16, whose first `length` tokens are there already.
  contiguous_kv(const result& k, const result& v, index length = 0)
      : placed_kv(kv_store("heed::contiguous_kv", k.extent[0], k, v), {k.extent[2]}, k.extent[0],
                  k.extent[2]) {
    if (length < 0 || length > capacity())
      check::fail("heed::contiguous_kv",
                  "a length of " + std::to_string(length) + " is not in the tensors",
                  {{"k", operand(k)}, {"v", operand(v)}});
    for (index b = 0; b < batch(); ++b) tokens_.append(b, length);
  }

 private:
  static index rounded(index capacity, const kv_formats& f) {
    const bool blocks = f.k.channels || f.v.channels;
    capacity = std::min(capacity, kv_limit);  // which no store takes
    return blocks ? (capacity + kv_block - 1) / kv_block * kv_block : capacity;
  }
};

static_assert(kv_source<contiguous_kv>);

}  // namespace heed
