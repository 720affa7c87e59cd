// SPDX-License-Identifier: BSL-1.0
// mask/types: causal, but tokens of one type see each other both ways:
//   valid[q] and valid[k] and (k <= q or type[q] = type[k] = same).
//
//   type 0 1 1 0 1, same = 1     type -1 4 4 -1 5 5, same = any     valid 0 1 1 1, type 0 0 0 0
//   x....                        x.....                             ....
//   xxx.x                        xxx...                             .x..
//   xxx.x                        xxx...                             .xx.
//   xxxx.                        xxxx..                             .xxx
//   xxxxx                        xxxxxx
//                                xxxxxx
//
// `same = any` takes each value >= 0 for a span of its own. type and valid [Lk] or [B, Lk],
// borrowed for the call; without `valid` every token is valid. A query before the first key sees
// nothing. Blocks that lie below the diagonal, or in one span, are never asked. Molmo 2 (image
// tokens). Throws if an array does not fit the keys.
// Molmo2, Clark et al. 2026.
#pragma once

#include <algorithm>
#include <heed/mask/concept.hpp>
#include <heed/mask/tokens.hpp>
#include <limits>

namespace heed {

struct types {
  static constexpr int any = -1;

  tokens type{};
  tokens valid{};
  int same = any;

  static constexpr bool exact = false;
  constexpr bool operator()(const position& at) const {
    return exists(at.b, at.q) && exists(at.b, at.k) &&
           (at.k <= at.q || (joins(type(at.b, at.q)) && type(at.b, at.q) == type(at.b, at.k)));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (!exists(at.b, at.q)) return;
    const span s{0, joins(type(at.b, at.q)) ? keys : std::min(at.q + 1, keys)};
    if (!s.empty()) emit(s);
  }
  constexpr cover covers(const block& x) const {
    const side q = look(x.b, x.q), k = look(x.b, x.k);
    if (q.valid == 0 || k.valid == 0) return cover::none;
    const bool shared = std::max(q.low, k.low) <= std::min(q.high, k.high);
    if (x.k.begin >= x.q.end && !shared) return cover::none;
    const bool past = x.k.end <= x.q.begin + 1;
    const bool one =
        q.joined == x.q.size() && k.joined == x.k.size() && q.low == k.high && k.low == q.high;
    return q.valid == x.q.size() && k.valid == x.k.size() && (past || one) ? cover::all
                                                                           : cover::some;
  }
  void check(const problem_shape& shape) const {
    type.check("heed::types", "type", shape);
    if (!valid.empty()) valid.check("heed::types", "valid", shape);
  }

 private:
  // The valid tokens of a range, those among them that join, and the range of their types.
  struct side {
    index valid = 0, joined = 0;
    int low = std::numeric_limits<int>::max(), high = std::numeric_limits<int>::min();
  };

  constexpr bool exists(index b, index i) const {
    return type.holds(i) && (valid.empty() || valid(b, i) != 0);
  }
  constexpr bool joins(int t) const { return same == any ? t >= 0 : t == same; }
  constexpr side look(index b, span of) const {
    side s;
    for (index i = of.begin; i < of.end; ++i) {
      if (!exists(b, i)) continue;
      ++s.valid;
      if (!joins(type(b, i))) continue;
      ++s.joined;
      s.low = std::min(s.low, type(b, i)), s.high = std::max(s.high, type(b, i));
    }
    return s;
  }
};

}  // namespace heed
