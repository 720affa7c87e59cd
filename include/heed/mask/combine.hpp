// SPDX-License-Identifier: BSL-1.0
// mask/combine: a && b, a || b and !a of masks.
//
//   causal{} && window{.left = 1}     causal{} && !first_keys{2}
//   x...                              ....
//   xx..                              ....
//   .xx.                              ..x.
//   ..xx                              ..xx
//
// Spans intersect, unite and complement, sorted and disjoint as those of the parts, and of any
// number: the spans of b are walked once for every span (or gap) of a. Exact where both parts are;
// the complement of an inexact mask is asked everywhere.
#pragma once

#include <algorithm>
#include <heed/core/policy.hpp>
#include <heed/mask/concept.hpp>

namespace heed {

namespace detail {

template <class M, class At>
concept vectorised = requires(const M& m, const At& at) { m.vector(at); };

// The keys of `within` outside the spans that `walk(emit)` gives.
template <class Walk, class F> constexpr void gaps(span within, Walk walk, F emit) {
  index from = within.begin;
  walk([&](span s) {
    const span gap{from, std::min(s.begin, within.end)};
    if (!gap.empty()) emit(gap);
    from = std::max(from, s.end);
  });
  if (from < within.end) emit(span{from, within.end});
}

}  // namespace detail

template <mask A, mask B> struct both_masks {
  A a;
  B b;

  static constexpr bool exact = exact_mask<A>() && exact_mask<B>();
  constexpr bool is_exact() const { return heed::is_exact(a) && heed::is_exact(b); }
  constexpr bool operator()(const position& at) const { return a(at) && b(at); }
  template <class At>
    requires(detail::vectorised<A, At> && detail::vectorised<B, At>)
  auto vector(const At& at) const {
    return lanewise(at, a.vector(at) & b.vector(at));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    heed::intervals(a, at, keys, [&](span x) {
      heed::intervals(b, at, keys, [&](span y) {
        const span s{std::max(x.begin, y.begin), std::min(x.end, y.end)};
        if (!s.empty()) emit(s);
      });
    });
  }
  constexpr cover covers(const block& x) const
    requires(
        requires { a.covers(x); } || requires { b.covers(x); })
  {
    return std::min(detail::known(a, x), detail::known(b, x));
  }
  constexpr decltype(auto) residual() const {
    if constexpr (exact_mask<A>() && !exact_mask<B>())
      return heed::residual(b);
    else if constexpr (exact_mask<B>() && !exact_mask<A>())
      return heed::residual(a);
    else
      return (*this);
  }
  void check(const problem_shape& shape) const { check_policy(a, shape), check_policy(b, shape); }
};

template <mask A, mask B> struct either_mask {
  A a;
  B b;

  static constexpr bool exact = exact_mask<A>() && exact_mask<B>();
  constexpr bool is_exact() const { return heed::is_exact(a) && heed::is_exact(b); }
  constexpr bool operator()(const position& at) const { return a(at) || b(at); }
  template <class At>
    requires(detail::vectorised<A, At> && detail::vectorised<B, At>)
  auto vector(const At& at) const {
    return lanewise(at, a.vector(at) | b.vector(at));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const auto of = [&](const auto& m) {
      return [&](auto each) { heed::intervals(m, at, keys, each); };
    };
    detail::gaps(
        {0, keys},
        [&](auto gap) {
          detail::gaps({0, keys}, of(a), [&](span x) { detail::gaps(x, of(b), gap); });
        },
        emit);
  }
  constexpr cover covers(const block& x) const
    requires(
        requires { a.covers(x); } || requires { b.covers(x); })
  {
    return std::max(detail::known(a, x), detail::known(b, x));
  }
  void check(const problem_shape& shape) const { check_policy(a, shape), check_policy(b, shape); }
};

template <mask A> struct not_mask {
  A a;

  static constexpr bool exact = exact_mask<A>();
  constexpr bool is_exact() const { return heed::is_exact(a); }
  constexpr bool operator()(const position& at) const { return !a(at); }
  template <class At>
    requires detail::vectorised<A, At>
  auto vector(const At& at) const {
    return lanewise(at, !a.vector(at));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const bool known = is_exact();
    detail::gaps(
        {0, keys},
        [&](auto each) {
          if (known) heed::intervals(a, at, keys, each);
        },
        emit);
  }
  constexpr cover covers(const block& x) const
    requires requires { a.covers(x); }
  {
    const cover of = a.covers(x);
    return of == cover::none ? cover::all : of == cover::all ? cover::none : cover::some;
  }
  void check(const problem_shape& shape) const { check_policy(a, shape); }
};

template <mask A, mask B> constexpr both_masks<A, B> operator&&(const A& a, const B& b) {
  return {a, b};
}
template <mask A, mask B> constexpr either_mask<A, B> operator||(const A& a, const B& b) {
  return {a, b};
}
template <mask A> constexpr not_mask<A> operator!(const A& a) { return {a}; }

}  // namespace heed
