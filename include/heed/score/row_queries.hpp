// SPDX-License-Identifier: BSL-1.0
// Score modifiers of whole rows: those that need all keys of a query, and the query itself. One
// says `using whole_rows = void`, is the last of its chain, and has
//
//   scratch(lanes, keys)                 elements that either of the two takes
//   modify_rows<Arch>(x, q, scratch)     scores in place; what is hidden stays hidden
//   modify_rows_backward<Arch>(x, q, d, dq, gradient, sum, scratch)
//
// for a panel of a head: scores [key][lane], lanes are queries (attention/row_scores.hpp). Backward
// x are the scores before; d, laid out alike, goes from the derivative by the scores after to that
// by those before, 0 where hidden; dq, laid out as q, gets the part that goes through q, added.
#pragma once

#include <heed/attention/gradient.hpp>
#include <heed/attention/row_scores.hpp>
#include <heed/score/concept.hpp>

namespace heed {

// Packed queries of such a panel, [channel][lane]. `factor` times them is what the query transforms
// gave: they are scaled.
template <class T> struct row_queries {
  const T* q = nullptr;
  index pitch = 0;
  T factor = 1;
};

namespace detail {

// The modifiers before that of whole rows, their part of a gradient likewise, and itself.
template <class S, class X> const auto& element_part(const X& x) {
  static constexpr none nothing{};
  if constexpr (!modifies_rows<S>)
    return x;
  else if constexpr (is_chain<S>)
    return x.first;
  else
    return nothing;
}
template <class S, class X> const auto& row_part(const X& x) {
  if constexpr (is_chain<S>) {
    static_assert(takes_rows<decltype(S::second)> && !modifies_rows<decltype(S::first)>,
                  "a score modifier of whole rows comes last");
    return x.second;
  } else {
    return x;
  }
}
template <class S>
using element_modifiers = std::remove_cvref_t<decltype(element_part<S>(std::declval<const S&>()))>;

}  // namespace detail

}  // namespace heed
