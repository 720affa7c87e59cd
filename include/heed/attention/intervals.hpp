// SPDX-License-Identifier: BSL-1.0
// Key intervals of a panel of queries, and what follows from them: which keys to visit, and which
// of those every lane sees.
#pragma once

#include <algorithm>
#include <heed/attention/problem.hpp>
#include <heed/mask/concept.hpp>

namespace heed::detail {

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

}  // namespace heed::detail
