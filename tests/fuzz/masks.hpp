// SPDX-License-Identifier: BSL-1.0
// Masks with random parameters.
#pragma once

#include <heed/mask/any_mask.hpp>
#include <heed/mask/block_map.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/document.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/full.hpp>
#include <heed/mask/global_local.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/per_head.hpp>
#include <heed/mask/power_of_two.hpp>
#include <heed/mask/prefix.hpp>
#include <heed/mask/rectangle.hpp>
#include <heed/mask/segment_graph.hpp>
#include <heed/mask/shifted_groups.hpp>
#include <heed/mask/strided.hpp>
#include <heed/mask/tree.hpp>
#include <heed/mask/types.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>

#include "fuzz/policies.hpp"

namespace heed::fuzz {

inline full draw(tag<full>, call&) { return {}; }
inline causal draw(tag<causal>, call& c) {
  if (c.chance(2)) return {};
  return {c.chance(3) ? -c.shape.offset : c.from(-9, 9)};
}
inline window draw(tag<window>, call& c) {
  return {c.chance(8) ? window::unbounded : c.from(0, 100), c.chance(2) ? 0 : c.from(0, 40)};
}
inline first_keys draw(tag<first_keys>, call& c) { return {c.from(0, 9)}; }
inline chunk draw(tag<chunk>, call& c) { return {c.from(1, 40), c.from(0, 2)}; }
inline block_causal draw(tag<block_causal>, call& c) { return {c.from(1, 40)}; }

// [L] or [B, L]; `low` to `high`, in runs.
inline tokens any_tokens(call& c, int low, int high) {
  const index items = c.chance(2) || c.shape.batch < 2 ? 1 : c.shape.batch;
  std::vector<int> x;
  for (index i = 0; i < items * c.shape.keys; ++i)
    x.push_back(i > 0 && !c.chance(5) ? x.back() : int(c.from(low, high)));
  return {c.keep(std::move(x)), items};
}
inline document draw(tag<document>, call& c) {
  const index items = c.chance(2) || c.shape.batch < 2 ? 1 : c.shape.batch;
  std::vector<int> ids;
  for (index i = 0; i < items * c.shape.keys; ++i)
    ids.push_back(i % c.shape.keys == 0 ? 7 : ids.back() + (c.chance(20) ? 1 : 0));
  return {tokens(c.keep(std::move(ids)), items)};
}
inline packed_documents draw(tag<packed_documents>, call& c) {
  std::vector<int> cu{0};
  while (cu.back() < c.shape.keys)
    cu.push_back(int(std::min(c.shape.keys, cu.back() + c.from(0, 60))));
  return {c.keep(std::move(cu))};
}
inline lengths draw(tag<lengths>, call& c) {
  lengths m;
  if (!c.chance(5)) m.keys = c.integers(c.shape.batch, 0, c.shape.keys);
  if (c.chance(2)) m.queries = c.integers(c.shape.batch, 0, c.shape.queries);
  return m;
}
inline prefix draw(tag<prefix>, call& c) {
  return {c.integers(c.chance(2) ? 1 : c.shape.batch == 0 ? 1 : c.shape.batch, 0, c.shape.keys)};
}
inline rectangle draw(tag<rectangle>, call& c) {
  std::vector<rectangle::area> areas;
  for (index n = c.from(0, 7); n > 0; --n) {
    const index q = c.from(0, c.shape.keys), k = c.from(0, c.shape.keys);
    areas.push_back({{q, q + c.from(0, 50)}, {k, k + c.from(0, 30)}});
    if (c.shape.batch > 0 && c.chance(3)) areas.back().b = c.from(0, c.shape.batch - 1);
  }
  return {c.keep(std::move(areas))};
}
inline types draw(tag<types>, call& c) {
  types m{.type = any_tokens(c, -1, 3)};
  if (c.chance(2)) m.valid = any_tokens(c, 0, 2);
  if (c.chance(2)) m.same = 1;
  return m;
}
inline tree draw(tag<tree>, call& c) {
  const index trees = c.chance(2) || c.shape.batch < 2 ? 1 : c.shape.batch;
  const bool whole = c.chance(2);
  const index n = whole ? c.shape.keys : c.from(0, c.shape.keys), chain = c.from(1, 20);
  std::vector<int> parents;
  for (index i = 0; i < trees * n; ++i)
    parents.push_back(int(i % n > 0 && !c.chance(chain) ? i % n - 1 : c.from(0, i % n) - 1));
  const token_tree& t = c.keep(token_tree::from_parents(parents, trees));
  if (whole) return {t};
  return {t, c.integers(c.chance(2) || c.shape.batch == 0 ? 1 : c.shape.batch, 0, c.shape.keys)};
}
inline subsegments draw(tag<subsegments>, call& c) { return {any_tokens(c, 0, 5)}; }
struct same_residue {
  index step;
  bool operator()(const position& at) const { return (at.q - at.k) % step == 0; }
};
struct far_apart {
  float least;
  template <class At> auto operator()(const At& at) const {
    using T = decltype(at.k);
    return (at.q - at.k >= T(least)) | (at.k - at.q >= T(least));
  }
};
inline where<same_residue> draw(tag<where<same_residue>>, call& c) {
  return where(same_residue{c.from(1, 6)});
}
inline where<far_apart> draw(tag<where<far_apart>>, call& c) {
  return where(far_apart{float(c.from(-3, 40))});
}
inline power_of_two draw(tag<power_of_two>, call& c) {
  if (c.chance(4)) return power_of_two::tokens();
  return {c.from(1, c.from(1, 40)), c.from(0, 6), c.from(0, 2)};
}
inline strided draw(tag<strided>, call& c) { return {c.from(1, c.from(1, 200))}; }
inline fixed_strided draw(tag<fixed_strided>, call& c) { return {c.from(1, 60), c.from(0, 9)}; }
inline dilated_window draw(tag<dilated_window>, call& c) {
  dilated_window m{c.from(0, 40), c.from(0, 40), c.from(1, 5)};
  if (c.chance(2)) m.steps = c.integers(c.shape.heads, 1, 9);
  return m;
}
inline global_tokens draw(tag<global_tokens>, call& c) {
  std::vector<int> list, items{0};
  const bool each = c.chance(2);
  for (index b = 0; b < (each ? c.shape.batch : 1); ++b) {
    for (index k = c.from(0, 20); k < c.shape.keys; k += c.from(1, 90)) list.push_back(int(k));
    items.push_back(int(list.size()));
  }
  if (!each) return {c.keep(std::move(list))};
  return {c.keep(std::move(list)), c.keep(std::move(items))};
}
inline bigbird draw(tag<bigbird>, call& c) {
  return {c.from(1, 40), 2 * c.from(0, 3) + 1, c.from(0, 2),
          c.from(0, 5),  c.shape.keys,         c.random()};
}
inline shifted_groups draw(tag<shifted_groups>, call& c) {
  return {c.from(1, c.from(1, 200)), c.shape.keys, c.integers(c.shape.heads, 0, c.shape.keys),
          c.from(0, 5), c.chance(2)};
}
inline segment_graph draw(tag<segment_graph>, call& c) {
  std::vector<int> cu{0}, offsets{0}, sources;
  while (cu.back() < c.shape.keys)
    cu.push_back(int(std::min(c.shape.keys, cu.back() + c.from(0, 60))));
  for (std::size_t g = 1; g < cu.size(); ++g) {
    for (std::size_t s = 1; s < cu.size(); ++s)
      if (c.chance(4)) sources.push_back(int(s - 1));
    offsets.push_back(int(sources.size()));
  }
  return {c.keep(std::move(cu)), c.keep(std::move(offsets)), c.keep(std::move(sources)),
          c.from(0, c.shape.keys)};
}
using mixed_heads = per_head<causal, window, where<same_residue>>;
inline mixed_heads draw(tag<mixed_heads>, call& c) {
  return mixed_heads(c.integers(c.shape.heads, 0, 2), causal{}, draw(tag<window>{}, c),
                     draw(tag<where<same_residue>>{}, c));
}
// Where the mask differs by head or item, the lists of the first one stand for the rest.
template <class M> block_map<M> draw(tag<block_map<M>>, call& c) {
  const problem_shape& s = c.shape;
  c.placed = true;
  block_size size{c.chance(2) ? c.from(1, 9) : c.from(1, 70), c.from(1, c.from(2, 200))};
  if (c.chance(2) && s.batch > 0) size.batch = s.batch;
  if (c.chance(2)) size.heads = c.chance(2) ? s.heads : s.kv_heads;
  return {draw(tag<M>{}, c), s, size};
}
template <class A, class B> both_masks<A, B> draw(tag<both_masks<A, B>>, call& c) {
  return draw(tag<A>{}, c) && draw(tag<B>{}, c);
}
template <class A, class B> either_mask<A, B> draw(tag<either_mask<A, B>>, call& c) {
  return draw(tag<A>{}, c) || draw(tag<B>{}, c);
}
template <class A> not_mask<A> draw(tag<not_mask<A>>, call& c) { return !draw(tag<A>{}, c); }

// Many spans a query: more than a panel keeps.
using striped = both_masks<not_mask<rectangle>, not_mask<rectangle>>;

inline any_mask draw(tag<any_mask>, call& c) {
  any_mask m;
  const auto one_of = [&]<class... M>(tag<M>... which) {
    index n = c.from(0, index(sizeof...(M)) - 1);
    ((n-- == 0 ? void(m = any_mask(draw(which, c))) : void()), ...);
  };
  one_of(tag<full>{}, tag<causal>{}, tag<window>{}, tag<first_keys>{}, tag<chunk>{},
         tag<block_causal>{}, tag<document>{}, tag<packed_documents>{}, tag<lengths>{},
         tag<prefix>{}, tag<rectangle>{}, tag<types>{}, tag<tree>{}, tag<subsegments>{},
         tag<where<same_residue>>{}, tag<where<far_apart>>{}, tag<power_of_two>{}, tag<strided>{},
         tag<fixed_strided>{}, tag<longformer_mask>{}, tag<bigbird>{}, tag<shifted_groups>{},
         tag<segment_graph>{}, tag<mixed_heads>{});
  return m;
}

}  // namespace heed::fuzz
