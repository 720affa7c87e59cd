// SPDX-License-Identifier: BSL-1.0
// mask/rectangle: causal, and whole rectangles on top: k <= q or (q, k) in one of the areas.
//
//   areas {{.q = {1, 3}, .k = {3, 5}}}
//   x....
//   xx.xx
//   xxxxx
//   xxxx.
//   xxxxx
//
// For instance image rows that see the columns of a later question (AKI: modality-mutual
// attention). Areas may overlap, in any order, for one batch item or for every one; the list is
// borrowed for the call. O(areas · spans) a query. Throws if an area is reversed, negative or of no
// batch item.
// AKI, Wang et al. 2025.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <span>

namespace heed {

struct rectangle {
  static constexpr index every_item = -1;
  struct area {
    span q, k;
    index b = every_item;
  };

  std::span<const area> areas{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return at.k <= at.q || std::any_of(areas.begin(), areas.end(), [&](const area& a) {
             return meets(a, at) && a.k.begin <= at.k && at.k < a.k.end;
           });
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    span s{0, std::clamp<index>(at.q + 1, 0, keys)};
    while (true) {
      for (bool grown = true; grown;) {
        grown = false;
        for (const area& a : areas)
          if (meets(a, at) && a.k.begin <= s.end && std::min(a.k.end, keys) > s.end)
            s.end = std::min(a.k.end, keys), grown = true;
      }
      if (!s.empty()) emit(s);
      index next = keys;
      for (const area& a : areas)
        if (meets(a, at) && a.k.begin > s.end) next = std::min(next, a.k.begin);
      if (next >= keys) return;
      s = {next, next};
    }
  }
  void check(const problem_shape& shape) const {
    for (std::size_t i = 0; i < areas.size(); ++i) {
      const area& a = areas[i];
      const auto broken = [&](const char* rule) {
        const auto range = [](span s) {
          return "[" + std::to_string(s.begin) + ", " + std::to_string(s.end) + ")";
        };
        check::fail("heed::rectangle", std::string(rule) + ": areas[" + std::to_string(i) +
                                           "] has q = " + range(a.q) + ", k = " + range(a.k) +
                                           ", b = " + std::to_string(a.b));
      };
      if (a.q.begin > a.q.end || a.k.begin > a.k.end)
        broken("an area must not end before it begins");
      if (a.q.begin < 0 || a.k.begin < 0) broken("an area must not begin before position 0");
      if (a.b != every_item && (a.b < 0 || a.b >= shape.batch))
        broken("an area must be of a batch item");
    }
  }

 private:
  static constexpr bool meets(const area& a, const position& at) {
    return a.q.begin <= at.q && at.q < a.q.end && (a.b == every_item || a.b == at.b);
  }
};

}  // namespace heed
