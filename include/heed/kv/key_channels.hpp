// SPDX-License-Identifier: BSL-1.0
// kv/key_channels: another source, which must stay, with some of the channels of its keys. Where
// several maps share their values, the keys of all lie side by side in one cache:
//
//   key_channels(cache, 0, D), key_channels(cache, D, D)      a cache of rows [k₁, k₂ | v]
//
// Codes with scales need whole groups of channels, and int4 whole bytes: check() throws
// std::invalid_argument where that fails, the constructor on channels that are not in the rows. A
// run costs what it does in the other source.
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/source.hpp>

namespace heed {

template <kv_source S> class key_channels {
 public:
  key_channels(const S& source, index first, index count)
      : source_(&source), first_(first), count_(count) {
    if (first < 0 || count < 0 || count > source.depth() - first)
      heed::check::fail("heed::key_channels", std::to_string(count) + " channels from " +
                                                  std::to_string(first) + " on of rows of " +
                                                  std::to_string(source.depth()));
  }
  key_channels(const S&&, index, index) = delete;  // refers to it

  index batch() const { return source_->batch(); }
  index heads() const { return source_->heads(); }
  index depth() const { return count_; }
  index value_depth() const { return source_->value_depth(); }
  index length(index b) const { return source_->length(b); }
  index end(index b) const { return source_->end(b); }
  kv_run run(index b, index h, index t) const {
    kv_run r = source_->run(b, h, t);
    r.k.data += r.k.type == kv_type::i4 ? first_ / 2
                : r.k.type == kv_type::i8
                    ? first_
                    : first_ * r.k.step * size_of(static_cast<element>(r.k.type));
    if (is_quantized(r.k.type)) {
      // One scale for all channels stays where it is.
      const index groups = r.k.group >= source_->depth() ? 0 : first_ / r.k.group;
      const auto moved = [&](const void* p) -> const void* {
        return p ? static_cast<const unsigned char*>(p) + groups * size_of(r.k.scale_type) : p;
      };
      r.k.scales = moved(r.k.scales), r.k.zeros = moved(r.k.zeros);
    }
    return r;
  }
  const index* places(index b, index h) const
    requires requires(const S& s) { s.places(b, h); }
  {
    return source_->places(b, h);
  }
  void check() const {
    detail::check_source(*source_);
    if (heads() == 0) return;
    // Where tokens share scales, sequences shorter than a block have none.
    for (index b = 0; b < batch(); ++b)
      if (length(b) > 0) {
        const stored_rows k = source_->run(b, 0, 0).k;
        if (is_quantized(k.type) && ((k.group < source_->depth() && first_ % k.group != 0) ||
                                     (k.type == kv_type::i4 && first_ % 2 != 0)))
          heed::check::fail("heed::key_channels", "the first channel must begin a group of " +
                                                      std::to_string(k.group) +
                                                      " codes and a byte");
      }
  }

 private:
  const S* source_;
  index first_, count_;
};

}  // namespace heed
