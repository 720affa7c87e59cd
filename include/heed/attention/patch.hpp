// SPDX-License-Identifier: BSL-1.0
// A patch: queries that see nearly the same keys, neither of them consecutive tokens.
//
// The keys are a box of at most three axes, the last one fastest, and a query sees those within a
// span of its own on every axis; a patch without axes is one whose queries see all its keys. A plan
// cuts a call into patches:
//   index count() const;
//   index most_rows() const, most_keys() const;                 // of any patch
//   template <class T> void fill(index i, patch<T>& x) const;   // x has room for them
//   static constexpr bool hides;                                // whether its patches have axes
// A mask brings one as `panel_patches(lanes, vectors)`, or lists the tokens of a patch, which see
// each other, by `patches()` and `patch(i, emit)`.
#pragma once

#include <algorithm>
#include <heed/core/position.hpp>
#include <heed/normalizer/concept.hpp>
#include <heed/simd/simd.hpp>

namespace heed::detail {

template <class T> struct patch {
  static constexpr int most_axes = 3;

  index* queries = nullptr;  // tokens
  index* keys = nullptr;
  T* lo = nullptr;  // [axis][pitch]: what a query sees, counted from the corner of the box
  T* hi = nullptr;
  index pitch = 0;
  index rows = 0, count = 0;
  int axes = 0;
  index extent[most_axes] = {};  // of the box
  span core[most_axes] = {};     // what every query sees

  // Whether every query sees every key.
  bool open() const {
    bool all = true;
    for (int n = 0; n < axes; ++n) all = all && core[n].begin <= 0 && core[n].end >= extent[n];
    return all;
  }
};

// S[j][lane] = masked where the query of the lane does not see key j of `keys`; `s` starts at
// keys.begin, and at the query `lane`.
template <class Arch, class T>
HEED_NOINLINE void hide_outside(const patch<T>& x, index lane, index vectors, span keys, T* s,
                                index pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const int last = x.axes - 1;
  const index width = x.extent[last];
  const span core = x.core[last];
  for (index v = 0; v < vectors; ++v, lane += W) {
    const auto within = [&](int axis, index at) {
      const B here(static_cast<T>(at));
      return simd::both(simd::load<T, Arch>(x.lo + axis * x.pitch + lane) <= here,
                        here < simd::load<T, Arch>(x.hi + axis * x.pitch + lane));
    };
    for (index j = keys.begin, end; j < keys.end; j = end) {
      index row = j / width;
      const index before = row * width;
      end = std::min(before + width, keys.end);
      bool every = true;
      simd::mask<T, Arch> seen{};
      for (int n = last - 1; n >= 0; --n) {
        const index at = row % x.extent[n];
        row /= x.extent[n];
        if (x.core[n].begin <= at && at < x.core[n].end) continue;
        seen = every ? within(n, at) : simd::both(seen, within(n, at));
        every = false;
      }
      const auto hide = [&](index from, index to, const auto& sees) HEED_INLINE_LAMBDA {
        for (index k = from; k < to; ++k) {
          T* const y = s + (k - keys.begin) * pitch + v * W;
          simd::store(y, B(simd::select(sees(k - before), simd::load<T, Arch>(y), B(masked<T>))));
        }
      };
      const auto along = [&](index at) HEED_INLINE_LAMBDA { return within(last, at); };
      if (every) {
        hide(j, std::min(end, before + core.begin), along);
        hide(std::max(j, before + core.end), end, along);
      } else {
        hide(j, end,
             [&](index at) HEED_INLINE_LAMBDA { return simd::both(seen, within(last, at)); });
      }
    }
  }
}

template <class M>
concept has_panel_patches = requires(const M& m) { m.panel_patches(index{}, index{}); };
template <class M>
concept lists_patches = requires(const M& m, void (*emit)(index)) {
  { m.patches() } -> std::convertible_to<index>;
  m.patch(index{}, emit);
};

// The plan of a mask that lists the tokens of its patches.
template <class M> class token_patches {
 public:
  static constexpr bool hides = false;

  explicit token_patches(const M& m) : mask_(m) {
    for (index i = 0; i < count(); ++i) {
      index tokens = 0;
      mask_.patch(i, [&](index) { ++tokens; });
      most_ = std::max(most_, tokens);
    }
  }
  index count() const { return mask_.patches(); }
  index most_rows() const { return most_; }
  index most_keys() const { return most_; }
  template <class T> void fill(index i, patch<T>& x) const {
    x.rows = 0;
    mask_.patch(i, [&](index token) { x.queries[x.rows] = x.keys[x.rows] = token, ++x.rows; });
    x.count = x.rows;
    x.axes = 0;
  }

 private:
  const M& mask_;
  index most_ = 0;
};

struct no_patches {
  static constexpr bool hides = false;
};
template <class M>
auto plan_patches([[maybe_unused]] const M& m, [[maybe_unused]] index lanes,
                  [[maybe_unused]] index vectors) {
  if constexpr (has_panel_patches<M>)
    return m.panel_patches(lanes, vectors);
  else if constexpr (lists_patches<M>)
    return token_patches<M>(m);
  else
    return no_patches{};
}

}  // namespace heed::detail
