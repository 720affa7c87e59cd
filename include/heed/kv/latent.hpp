// SPDX-License-Identifier: BSL-1.0
// kv/latent: a source whose values are the first channels of its keys, as latent attention
// (heads/mla) has them. The rows of any source [B,1,N,r+Dr], kept once:
//
//   attend({.scale = mla::scale(Dc, Dr)}, absorbed, latent_source(cache, r), {.out = latent});
//
// What the other source holds as values is not looked at. Codes with scales work as they are: a
// group of channels has the same scale in both. Throws std::invalid_argument if there are not
// `rank` channels. A run costs what it does in the other source.
// DeepSeek-V2 2024.
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/source.hpp>

namespace heed {

template <kv_source S> class latent_source {
 public:
  latent_source(const S& rows, index rank) : rows_(&rows), rank_(rank) {
    if (rank < 0 || rank > rows.depth())
      check::fail("heed::latent_source", "rank " + std::to_string(rank) + " of rows of " +
                                             std::to_string(rows.depth()) + " channels");
  }
  latent_source(const S&&, index) = delete;  // refers to it

  index batch() const { return rows_->batch(); }
  index heads() const { return rows_->heads(); }
  index depth() const { return rows_->depth(); }
  index value_depth() const { return rank_; }
  index length(index b) const { return rows_->length(b); }
  index end(index b) const { return rows_->end(b); }
  kv_run run(index b, index h, index t) const {
    kv_run r = rows_->run(b, h, t);
    r.v = r.k;
    return r;
  }
  const index* places(index b, index h) const
    requires requires(const S& s) { s.places(b, h); }
  {
    return rows_->places(b, h);
  }
  void check() const { detail::check_source(*rows_); }

 private:
  const S* rows_;
  index rank_;
};

}  // namespace heed
