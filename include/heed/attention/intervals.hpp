// SPDX-License-Identifier: BSL-1.0
// Key intervals of a panel of queries, and what follows from them: which keys to visit, which of
// those every lane sees, and lane compares for the rest.
#pragma once

#include <algorithm>
#include <heed/attention/problem.hpp>
#include <heed/mask/concept.hpp>
#include <heed/normalizer/concept.hpp>
#include <limits>

namespace heed::detail {

// Sorted disjoint spans. Beyond the capacity the last two are joined: the list stays a superset.
class span_list {
 public:
  static constexpr index capacity = 32;

  const span* begin() const { return spans_; }
  const span* end() const { return spans_ + count_; }

  void add(span s) {
    if (s.empty()) return;
    index first = 0;
    while (first < count_ && spans_[first].end < s.begin) ++first;
    index last = first;
    for (; last < count_ && spans_[last].begin <= s.end; ++last) {
      s.begin = std::min(s.begin, spans_[last].begin);
      s.end = std::max(s.end, spans_[last].end);
    }
    if (first == last && count_ == capacity) {
      const index at = std::min(first, count_ - 1);
      spans_[at] = {std::min(spans_[at].begin, s.begin), std::max(spans_[at].end, s.end)};
      return;
    }
    if (first == last)
      std::copy_backward(spans_ + first, spans_ + count_, spans_ + count_ + 1);
    else
      std::copy(spans_ + last, spans_ + count_, spans_ + first + 1);
    count_ += 1 - (last - first);
    spans_[first] = s;
  }

 private:
  span spans_[capacity];
  index count_ = 0;
};

// The intervals of every lane of one panel: `count` of them at most, lane by lane in lo[r][lane],
// hi[r][lane]; lanes with fewer have empty ones. More than `most` are joined to a superset, and the
// panel `overflows`: lo and hi are not used then.
struct lane_intervals {
  static constexpr index most = 4;

  index* lo = nullptr;
  index* hi = nullptr;
  index pitch = 0, count = 0;
  bool exact = true;  // the mask has nothing to ask inside its intervals
  bool overflows = false;
  span hull[most];  // union of interval r over the lanes
  span core[most];  // intersection of interval r over the lanes

  static constexpr index scratch(index pitch) { return 2 * most * pitch; }

  template <class Mask>
  void collect(const Mask& mask, position at, index rows, index lanes, const sequence& s) {
    const index keys = s.keys;
    count = 0;
    exact = is_exact(mask);
    overflows = false;
    for (index r = 0; r < most; ++r) {
      hull[r] = {keys, 0};
      core[r] = {0, keys};
      std::fill_n(lo + r * pitch, lanes, index{0});
      std::fill_n(hi + r * pitch, lanes, index{0});
    }
    for (index lane = 0; lane < rows; ++lane) {
      index r = 0;
      intervals(mask, at, s.end(), [&](span seen) {
        const span x = s.within(seen);
        if (x.empty()) return;
        if (r == most) {
          overflows = true;
          hi[(most - 1) * pitch + lane] = x.end;
          return;
        }
        lo[r * pitch + lane] = x.begin;
        hi[r * pitch + lane] = x.end;
        ++r;
      });
      count = std::max(count, r);
      ++at.q, ++at.row;
    }
    for (index r = 0; r < count; ++r)
      for (index lane = 0; lane < rows; ++lane) {
        const span x{lo[r * pitch + lane], hi[r * pitch + lane]};
        if (!x.empty()) hull[r] = {std::min(hull[r].begin, x.begin), std::max(hull[r].end, x.end)};
        core[r] = {std::max(core[r].begin, x.begin), std::min(core[r].end, x.end)};
      }
  }

  // Keys that some lane of [first, last) may see, where every lane has one interval at most.
  span seen(index first, index last) const {
    span s{lo[first], hi[first]};
    for (index lane = first + 1; lane < last; ++lane)
      if (lo[lane] < hi[lane])
        s = s.empty() ? span{lo[lane], hi[lane]}
                      : span{std::min(s.begin, lo[lane]), std::max(s.end, hi[lane])};
    return s;
  }

  // Keys of [first, last) that some lane may see, as one span.
  span clip(index first, index last) const {
    span s{last, first};
    for (index r = 0; r < count; ++r) {
      const span part{std::max(first, hull[r].begin), std::min(last, hull[r].end)};
      if (!part.empty()) s = {std::min(s.begin, part.begin), std::max(s.end, part.end)};
    }
    return s;
  }
  // Keys of `s` that every lane sees: the longest such span.
  span common(span s) const {
    span best{s.begin, s.begin};
    for (index r = 0; r < count; ++r) {
      const span part{std::max(s.begin, core[r].begin), std::min(s.end, core[r].end)};
      if (part.size() > best.size()) best = part;
    }
    return best;
  }
};

// S[j][lane] = masked where no interval of the lane holds key `first + j`, for j in `keys`.
template <class Arch, class T>
HEED_NOINLINE void mask_lanes(const lane_intervals& in, index vectors, index first, span keys, T* s,
                              index pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  T lo[lane_intervals::most][W], hi[lane_intervals::most][W];
  for (index v = 0; v < vectors; ++v) {
    for (index r = 0; r < in.count; ++r)
      for (index i = 0; i < W; ++i) {
        // Relative to the tile, so that positions beyond 2^24 stay exact.
        lo[r][i] = T(std::clamp(in.lo[r * in.pitch + v * W + i] - first, keys.begin, keys.end));
        hi[r][i] = T(std::clamp(in.hi[r * in.pitch + v * W + i] - first, keys.begin, keys.end));
      }
    for (index j = keys.begin; j < keys.end; ++j) {
      const B at(static_cast<T>(j));
      auto seen = simd::both(simd::load<T, Arch>(lo[0]) <= at, at < simd::load<T, Arch>(hi[0]));
      for (index r = 1; r < in.count; ++r)
        seen = simd::either(
            seen, simd::both(simd::load<T, Arch>(lo[r]) <= at, at < simd::load<T, Arch>(hi[r])));
      T* x = s + j * pitch + v * W;
      simd::store(x, B(simd::select(seen, simd::load<T, Arch>(x), B(masked<T>))));
    }
  }
}

// The same by asking the mask for every element. `at` is the corner.
template <class Arch = simd::best, class Mask, class T>
HEED_NOINLINE void mask_elements(const Mask& mask, const tile& at, T* s) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  using at_lanes = lanes<B, T>;
  if constexpr (requires(at_lanes a) { mask.vector(a); }) {
    constexpr index integers = index{1} << std::numeric_limits<T>::digits;  // exact in T up to here
    if (at.pitch % W == 0 && at.q + at.rows < integers && at.key(at.keys - 1) < integers) {
      const B steps = simd::iota<T, Arch>();
      for (index v = 0; v * W < at.rows; ++v)
        for (index j = 0; j < at.keys; ++j) {
          const at_lanes a{.b = at.b,
                           .h = at.h,
                           .q = B(B(static_cast<T>(at.q + v * W)) + steps),
                           .k = static_cast<T>(at.key(j)),
                           .row = at.row + v * W,
                           .slot = at.slot + j,
                           .lane = v * W,
                           .key = j};
          T* x = s + j * at.pitch + v * W;
          simd::store(x, B(simd::select(mask.vector(a), simd::load<T, Arch>(x), B(masked<T>))));
        }
      return;
    }
  }
  if constexpr (requires { mask.hide(at, s); }) {
    mask.hide(at, s);
  } else {
    for (index j = 0; j < at.keys; ++j)
      for (index lane = 0; lane < at.rows; ++lane)
        if (!mask(position{at.b, at.h, at.q + lane, at.key(j), at.row + lane, at.slot + j}))
          s[j * at.pitch + lane] = masked<T>;
  }
}

// The same for a panel that overflows: an exact mask gives its intervals once more.
template <class Arch, class Mask, class T>
HEED_NOINLINE void mask_overflow(const Mask& mask, const tile& at, T* s) {
  if constexpr (!exact_mask<Mask>())
    if (!is_exact(mask)) return mask_elements<Arch>(mask, at, s);
  if (at.places) return mask_elements<Arch>(mask, at, s);
  const index last = at.k + at.keys;
  for (index lane = 0; lane < at.rows; ++lane) {
    index from = at.k;
    const auto hide = [&](index to) {
      for (; from < std::min(to, last); ++from) s[(from - at.k) * at.pitch + lane] = masked<T>;
    };
    intervals(mask, position{.b = at.b, .h = at.h, .q = at.q + lane, .row = at.row + lane}, last,
              [&](span x) {
                hide(x.begin);
                from = std::max(from, x.end);
              });
    hide(last);
  }
}

}  // namespace heed::detail
