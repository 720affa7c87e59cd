// SPDX-License-Identifier: BSL-1.0
// Some neighbouring kv heads of another source, which must stay: where heads of one layer are
// treated differently, each kind is a call of its own.
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/source.hpp>
#include <string>

namespace heed {

template <kv_source Source> class head_range {
 public:
  head_range(const Source& source, span heads) : source_(&source), heads_(heads) {
    if (heads.begin < 0 || heads.end < heads.begin || heads.end > source.heads())
      check::fail("heed::head_range", "the source has " + std::to_string(source.heads()) +
                                          " heads, not " + std::to_string(heads.begin) + " to " +
                                          std::to_string(heads.end));
  }

  index batch() const { return source_->batch(); }
  index heads() const { return heads_.size(); }
  index depth() const { return source_->depth(); }
  index value_depth() const { return source_->value_depth(); }
  index length(index b) const { return source_->length(b); }
  index end(index b) const { return source_->end(b); }
  kv_run run(index b, index h, index t) const { return source_->run(b, heads_.begin + h, t); }
  const index* places(index b, index h) const {
    if constexpr (requires { source_->places(b, h); })
      return source_->places(b, heads_.begin + h);
    else
      return nullptr;
  }
  void check() const { detail::check_source(*source_); }

 private:
  const Source* source_;
  span heads_;
};

// The query heads that read kv heads `heads` when `group` of them share one, of x [B,H,L,D].
template <class T> constexpr view<T> heads_of(const view<T>& x, span heads, index group) {
  view<T> some = x;
  some.data += heads.begin * group * x.stride[1];
  some.extent[1] = heads.size() * group;
  return some;
}

}  // namespace heed
