// SPDX-License-Identifier: BSL-1.0
// How policies are combined: `none`, chains applied left to right, and per-call binding.
#pragma once

#include <concepts>
#include <heed/core/position.hpp>
#include <type_traits>

namespace heed {

// The absent policy.
struct none {};

// first | second: `second` acts on what `first` gives.
template <class First, class Second> struct chain {
  First first;
  Second second;
};

template <class First, class Second>
  requires(std::is_class_v<First> && std::is_class_v<Second>)
constexpr chain<First, Second> operator|(const First& first, const Second& second) {
  return {first, second};
}

template <class P> inline constexpr bool is_chain = false;
template <class A, class B> inline constexpr bool is_chain<chain<A, B>> = true;

// A policy may state what it demands of a call; it throws std::invalid_argument.
template <class P> void check_policy(const P& policy, const problem_shape& shape) {
  if constexpr (is_chain<P>) {
    check_policy(policy.first, shape);
    check_policy(policy.second, shape);
  } else if constexpr (requires { policy.check(shape); }) {
    policy.check(shape);
  }
}
// A row transform may also state what it demands of the rows it is given: `check(row_shape)`.
template <class P>
void check_rows(const P& policy, const problem_shape& shape, const row_shape& rows) {
  if constexpr (is_chain<P>) {
    check_rows(policy.first, shape, rows);
    check_rows(policy.second, shape, rows);
  } else {
    if constexpr (requires { policy.check(shape); }) policy.check(shape);
    if constexpr (requires { policy.check(rows); }) policy.check(rows);
  }
}

// A policy whose fast form needs a table has `prepare<Arch>(tile, scratch)`, which returns the
// policy to use inside that tile and advances `scratch` past what it filled: at most
// `scratch(pitch, keys)` elements. Others are used as they are.
template <class P> index scratch_of(const P& policy, index pitch, index keys) {
  if constexpr (is_chain<P>)
    return scratch_of(policy.first, pitch, keys) + scratch_of(policy.second, pitch, keys);
  else if constexpr (requires { policy.scratch(pitch, keys); })
    return policy.scratch(pitch, keys);
  else
    return 0;
}
// A policy by reference: preparing must not copy what a lambda has captured.
template <class P> struct borrowed {
  const P& policy;
  template <class... Args>
    requires std::is_invocable_v<const P&, Args...>
  constexpr decltype(auto) operator()(Args&&... args) const {
    return policy(static_cast<Args&&>(args)...);
  }
};
template <class Arch, class P, class T>
auto prepared(const P& policy, const tile& at, T*& scratch) {
  if constexpr (is_chain<P>) {
    auto first = prepared<Arch>(policy.first, at, scratch);
    auto second = prepared<Arch>(policy.second, at, scratch);
    return chain<decltype(first), decltype(second)>{first, second};
  } else if constexpr (requires { policy.template prepare<Arch>(at, scratch); }) {
    return policy.template prepare<Arch>(at, scratch);
  } else {
    return borrowed<P>{policy};
  }
}

}  // namespace heed
