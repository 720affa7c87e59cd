// SPDX-License-Identifier: BSL-1.0
// The tokens that stay when others are evicted, ascending: one list for all kv heads, or one a head
// [1, Hkv, n, 1]. Refers to what it was given.
#pragma once

#include <heed/core/view.hpp>
#include <heed/kv/keep.hpp>
#include <ranges>

namespace heed {

class token_lists {
 public:
  token_lists(const kept_tokens& kept)  // NOLINT: what a policy keeps
      : lists_(kept.tokens.data(), {1, kept.heads, kept.count, 1}),
        whole_(index(kept.tokens.size()) >= kept.heads * kept.count) {}
  template <class T>
    requires std::is_same_v<const T, const index>
  token_lists(const view<T>& lists) : lists_(lists) {}  // NOLINT: lists are kept tokens
  template <std::ranges::contiguous_range R>
    requires std::is_same_v<std::ranges::range_value_t<R>, index>
  token_lists(const R& list)  // NOLINT: a list is too
      : lists_(std::ranges::data(list), {1, 1, static_cast<index>(std::ranges::size(list)), 1}) {}

  index size() const { return lists_.extent[2]; }
  index operator()(index head, index i) const {
    return lists_(0, lists_.extent[1] == 1 ? 0 : head, i);
  }
  void check(const char* operation, index heads, index length) const {
    const extents& e = lists_.extent;
    if (!whole_ || e[0] != 1 || e[2] < 0 || e[3] != 1 || (e[1] != 1 && e[1] != heads) ||
        (!lists_.data && e[2] != 0))
      check::fail(operation, "the kept tokens must be one list, or " + std::to_string(heads) +
                                 " lists [1, Hkv, n, 1], not " + check::print(e));
    for (index h = 0; h < e[1]; ++h)
      for (index i = 0; i < e[2]; ++i) {
        const index t = (*this)(h, i), before = i == 0 ? -1 : (*this)(h, i - 1);
        if (t <= before || t >= length)
          check::fail(operation, "kept tokens must ascend and be below the length " +
                                     std::to_string(length) + ": " + std::to_string(t) + " after " +
                                     std::to_string(before));
      }
  }
  // The first of the kept tokens that moves in any head.
  index first_moved(index heads) const {
    index first = size();
    for (index h = 0; h < (lists_.extent[1] == 1 ? 1 : heads); ++h)
      for (index i = 0; i < first; ++i)
        if ((*this)(h, i) != i) first = i;
    return first;
  }

 private:
  view<const index> lists_;
  bool whole_ = true;  // all tokens of the lists are there
};

}  // namespace heed
