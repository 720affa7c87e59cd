// SPDX-License-Identifier: BSL-1.0
// What attend takes in place of k and v: a cache, or whatever else knows where tokens lie.
//
// A source has tokens 0 … length(b) - 1 for each sequence b, oldest first, the same for all its kv
// heads, and says where they lie and which positions they have:
//   index batch() const, heads() const, depth() const, value_depth() const;
//   index length(index b) const;
//   index end(index b) const;       // one beyond the position of the newest token
//   kv_run run(index b, index h, index t) const;      // tokens from t on that lie together, >= 1
// Token t has position end - length + t. A source that has lost tokens in between (eviction) has
//   const index* places(index b, index h) const;      // ascending positions, or null for the above
// and one over memory of somebody else's may have
//   void check() const;      // throws std::invalid_argument; whoever reads tokens calls it first
// The last query row of a call sits at the newest token.
#pragma once

#include <algorithm>
#include <concepts>
#include <heed/core/position.hpp>
#include <heed/kv/stored.hpp>

namespace heed {

template <class S>
concept kv_source = requires(const S& s, index i) {
  { s.batch() } -> std::convertible_to<index>;
  { s.heads() } -> std::convertible_to<index>;
  { s.depth() } -> std::convertible_to<index>;
  { s.value_depth() } -> std::convertible_to<index>;
  { s.length(i) } -> std::convertible_to<index>;
  { s.end(i) } -> std::convertible_to<index>;
  { s.run(i, i, i) } -> std::same_as<kv_run>;
};

namespace detail {

// What a source makes of the caller's memory it may have to look at first (kv/paged_tensors.hpp).
// Sources of sources pass it on.
template <class Source> void check_source(const Source& source) {
  if constexpr (requires { source.check(); }) source.check();
}

}  // namespace detail

// A source that has forgotten its type, and with it `check`; refers to it.
class kv_ref {
 public:
  template <kv_source S>
  kv_ref(const S& source)  // NOLINT: every source is one
      : source_(&source),
        length_([](const void* s, index b) -> index { return self<S>(s).length(b); }),
        end_([](const void* s, index b) -> index { return self<S>(s).end(b); }),
        run_([](const void* s, index b, index h, index t) { return self<S>(s).run(b, h, t); }),
        places_([](const void* s, index b, index h) -> const index* {
          if constexpr (requires { self<S>(s).places(b, h); })
            return self<S>(s).places(b, h);
          else
            return nullptr;
        }),
        extent_{source.batch(), source.heads(), source.depth(), source.value_depth()} {}

  index batch() const { return extent_[0]; }
  index heads() const { return extent_[1]; }
  index depth() const { return extent_[2]; }
  index value_depth() const { return extent_[3]; }
  index length(index b) const { return length_(source_, b); }
  index end(index b) const { return end_(source_, b); }
  kv_run run(index b, index h, index t) const { return run_(source_, b, h, t); }
  const index* places(index b, index h) const { return places_(source_, b, h); }
  index longest() const {
    index most = 0;
    for (index b = 0; b < batch(); ++b) most = std::max(most, length(b));
    return most;
  }

 private:
  template <class S> static const S& self(const void* s) { return *static_cast<const S*>(s); }

  const void* source_;
  index (*length_)(const void*, index);
  index (*end_)(const void*, index);
  kv_run (*run_)(const void*, index, index, index);
  const index* (*places_)(const void*, index, index);
  extents extent_;
};

// f(run, first) for the runs of tokens [tokens.begin, tokens.end), in order; `run` begins at token
// `first` and ends within the range.
template <class Source, class F>
void for_each_run(const Source& source, index b, index h, span tokens, const F& f) {
  for (index t = tokens.begin; t < tokens.end;) {
    kv_run run = source.run(b, h, t);
    run.count = std::min(run.count, tokens.end - t);
    f(run, t);
    t += run.count;
  }
}

}  // namespace heed
