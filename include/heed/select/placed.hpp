// SPDX-License-Identifier: BSL-1.0
// Policies of rows that were gathered: they see the positions that the rows had before.
//
// Gathered rows lie end to end, list after list, and a list is a sequence of a packed batch
// (`plan/varlen`); `places` tells for each packed row which row it was.
#pragma once

#include <algorithm>
#include <heed/attention/gradient.hpp>
#include <heed/mask/concept.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

// Where lists come from: list i belongs to item and head i / each.
struct list_owner {
  index heads = 1, each = 1;
  index first = 0;  // of the lists of this call
  constexpr index item(index list) const { return (first + list) / (heads * each); }
  constexpr index head(index list) const { return (first + list) / each % heads; }
};

// Lists ascend, so a span of positions is a span of a list: what is exact stays so.
template <mask M> struct gathered_mask {
  M of{};
  list_owner owner{};
  const int* queries = nullptr;  // place of each packed query
  const int* keys = nullptr;
  const int* starts = nullptr;  // first packed key of each list
  index offset = 0, length = 0;

  static constexpr bool exact = exact_mask<M>();
  constexpr bool is_exact() const { return heed::is_exact(of); }
  constexpr position query(const position& at) const {
    const index row = queries[at.row];
    return {owner.item(at.b), owner.head(at.b), row + offset, 0, row, 0};
  }
  constexpr bool operator()(const position& at) const {
    position pair = query(at);
    pair.k = pair.slot = keys[at.slot];
    return of(pair);
  }
  template <class F> constexpr void intervals(const position& at, index count, F emit) const {
    const int* const list = keys + starts[at.b];
    const auto find = [&](index place) {
      return std::lower_bound(list, list + count, place, [](int k, index p) { return k < p; }) -
             list;
    };
    if constexpr (std::is_same_v<M, full>) {
      if (count > 0) emit(span{0, count});
    } else {
      heed::intervals(of, query(at), length, [&](span seen) {
        const span s{find(seen.begin), find(seen.end)};
        if (!s.empty()) emit(s);
      });
    }
  }
};

template <class F> struct gathered_transform {
  F transform{};
  list_owner owner{};
  const int* places = nullptr;
  index offset = 0, group = 1;  // query heads a head of these rows

  row_position where(const row_position& at) const {
    const index place = places[at.row];
    return {owner.item(at.b), owner.head(at.b) / group, place + offset, place};
  }
  template <class Arch, class T> void row(T* x, index depth, const row_position& at) const {
    simd::transform_row<Arch>(transform, x, depth, where(at));
  }
  // What a transform learns has no gradient here.
  template <class Arch, class T>
  void row_backward(const T* x, T* dx, index depth, const row_position& at) const {
    if constexpr (requires { transform.template row_backward<Arch>(x, dx, depth, at); })
      transform.template row_backward<Arch>(x, dx, depth, where(at));
    else
      transform.template row_backward<Arch>(x, dx, depth, where(at), typename F::gradient{},
                                            nullptr);
  }
};

// Transforms of a chain one by one: each has a derivative of its own.
template <class F>
auto placed(const F& f, list_owner owner, const int* places, index offset, index group) {
  if constexpr (std::is_same_v<F, none>) {
    return f;
  } else if constexpr (is_chain<F>) {
    const auto first = placed(f.first, owner, places, offset, group);
    const auto second = placed(f.second, owner, places, offset, group);
    return chain<std::remove_const_t<decltype(first)>, std::remove_const_t<decltype(second)>>{
        first, second};
  } else {
    return gathered_transform<F>{f, owner, places, offset, group};
  }
}

}  // namespace heed::detail
