// SPDX-License-Identifier: BSL-1.0
// The lanes of a range that name one block of keys, and what each of them sees of it.
#pragma once

#include <heed/attention/intervals.hpp>
#include <heed/attention/turned_lists.hpp>
#include <heed/core/workspace.hpp>
#include <heed/normalizer/concept.hpp>
#include <heed/score/listed.hpp>
#include <heed/simd/shape.hpp>
#include <span>

namespace heed::detail {

// Lanes of a range of blocks of rows of one kv head.
struct lane_range {
  sequence s;
  lane_layout layout;
  index kv = 0, first_row = 0, lanes = 0;

  index head(index lane) const { return kv * layout.group + layout.head(lane); }
  index row(index lane) const { return first_row + layout.row(lane); }
  bool exists(index lane) const { return row(lane) < s.rows; }
};

template <class T, class Arch, class Mask> struct block_members {
  static constexpr bool masks = !std::is_same_v<Mask, full>;
  static constexpr index W = simd::width<T, Arch>;

  index* lane = nullptr;
  index* lo = nullptr;  // keys seen
  index* hi = nullptr;
  unsigned char* asked = nullptr;  // pairs within them must be asked for

  template <class Arena> void take(Arena& from, index most) {
    lane = from.template take<index>(most);
    if constexpr (masks) {
      lo = from.template take<index>(most);
      hi = from.template take<index>(most);
      asked = from.template take<unsigned char>(most);
    }
  }

  // Those of `entries` that see some of `keys`, and of query head `g` of the kv head alone unless
  // that is negative; how many there are.
  index gather(const Mask& mask, const lane_range& at, span keys,
               std::span<const list_entry> entries, index g) {
    index count = 0;
    for (const list_entry entry : entries) {
      const index first = entry.list * at.layout.lanes_per_list();
      for (index i = first; i < first + at.layout.lanes_per_list(); ++i) {
        if (!at.exists(i) || (g >= 0 && at.layout.head(i) != g)) continue;
        if constexpr (masks) {
          span seen = entry.partly ? span{} : keys;
          bool ask = false;
          if (entry.partly) {
            const position row{
                .b = at.s.b, .h = at.head(i), .q = at.row(i) + at.s.offset, .row = at.row(i)};
            intervals(mask, row, at.s.end(), [&](span s) {
              const span x = at.s.within(s);
              const span y{std::max(x.begin, keys.begin), std::min(x.end, keys.end)};
              if (y.empty()) return;
              ask = !seen.empty();
              seen = ask ? span{seen.begin, y.end} : y;
            });
            if (seen.empty()) continue;
            ask = ask || !is_exact(mask);
          }
          lo[count] = seen.begin, hi[count] = seen.end, asked[count] = ask;
        }
        lane[count++] = i;
      }
    }
    return count;
  }

  // Keys that some of the members [first, first + count) see. Rows are in order, so those along a
  // diagonal end at much the same key.
  span hull(span keys, index first, index count) const {
    if constexpr (masks)
      return {*std::min_element(lo + first, lo + first + count),
              *std::max_element(hi + first, hi + first + count)};
    else
      return keys;
  }

  // S = score(S), all members being of one head; `places` holds a number a key.
  template <class Score>
  void modify(const Score& score, const lane_range& at, span keys, index first, index count,
              index* places, T* s, index pitch) const {
    index queries[simd::shape<T, Arch>::panel];
    for (index i = 0; i < count; ++i) queries[i] = at.row(lane[first + i]) + at.s.offset;
    for (index j = 0; j < keys.size(); ++j) places[j] = at.s.key(keys.begin + j);
    modify_listed<Arch>(score,
                        listed_tile{.b = at.s.b,
                                    .h = at.head(lane[first]),
                                    .queries = queries,
                                    .rows = count,
                                    .tokens = places,
                                    .keys = keys.size(),
                                    .pitch = pitch,
                                    .offset = at.s.offset},
                        s, [](const auto&) { return false; });
  }

  // S = masked where a member does not see the key; true if anything was.
  bool hide(const Mask& mask, const lane_range& at, span keys, index first, index count, T* s,
            index pitch) const {
    using B = simd::batch<T, Arch>;
    bool any = false;
    for (index v = 0; v < count; v += W) {
      T low[W] = {}, high[W];
      std::fill_n(high, W, static_cast<T>(keys.size()));
      bool cut = false;
      for (index i = 0; i < std::min(W, count - v); ++i) {
        const index m = first + v + i;
        cut = cut || lo[m] > keys.begin || hi[m] < keys.end;
        low[i] = static_cast<T>(std::clamp(lo[m], keys.begin, keys.end) - keys.begin);
        high[i] = static_cast<T>(std::clamp(hi[m], keys.begin, keys.end) - keys.begin);
        if (asked[m]) ask(mask, at, keys, lane[m], s + v + i, pitch), any = true;
      }
      if (!cut) continue;
      any = true;
      const B from = simd::load<T, Arch>(low), to = simd::load<T, Arch>(high);
      for (index j = 0; j < keys.size(); ++j) {
        const B here(static_cast<T>(j));
        T* const x = s + j * pitch + v;
        simd::store(x, B(simd::select(simd::both(from <= here, here < to), simd::load<T, Arch>(x),
                                      B(masked<T>))));
      }
    }
    return any;
  }

 private:
  static void ask(const Mask& mask, const lane_range& at, span keys, index lane, T* s,
                  index pitch) {
    const index row = at.row(lane);
    position pair{at.s.b, at.head(lane), row + at.s.offset, 0, row, 0};
    for (index j = keys.begin; j < keys.end; ++j, s += pitch) {
      pair.k = at.s.key(j), pair.slot = at.s.slot + j;
      if (!mask(pair)) *s = masked<T>;
    }
  }
};

}  // namespace heed::detail
