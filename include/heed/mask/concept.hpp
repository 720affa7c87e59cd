// SPDX-License-Identifier: BSL-1.0
// What a mask is, and what the engine derives from it.
//
// A mask answers one question, `m(position) -> bool`: may this query see this key? To be fast it
// also gives, for one query, the sorted disjoint key spans outside which nothing is allowed:
//   template <class F> void intervals(const position& at, index keys, F emit) const;
//   static constexpr bool exact;   // true: inside the spans everything is allowed
// (`at.k` and `at.slot` are unset.) The engine turns spans into skipped tiles and lane compares and
// asks element by element only where a mask is not exact. A mask without `intervals` is asked
// everywhere. A mask that is asked may have
//   template <class At> auto vector(const At& at) const;   // At = lanes<batch, T>: a batch_bool
//   cover covers(const block&) const;                      // settles a block without asking
#pragma once

#include <concepts>
#include <heed/core/policy.hpp>

namespace heed {

template <class M>
concept mask = std::is_class_v<M> && requires(const M& m, const position& p) {
  { m(p) } -> std::convertible_to<bool>;
};

template <mask M> consteval bool exact_mask() {
  if constexpr (requires { M::exact; })
    return M::exact;
  else
    return false;
}

// The same for masks that know only at run time.
template <mask M> constexpr bool is_exact(const M& m) {
  if constexpr (requires { m.is_exact(); })
    return m.is_exact();
  else
    return exact_mask<M>();
}

template <mask M, class F>
constexpr void intervals(const M& m, const position& at, index keys, F emit) {
  if constexpr (requires { m.intervals(at, keys, emit); })
    m.intervals(at, keys, emit);
  else if (keys > 0)
    emit(span{0, keys});
}

// What is left to ask of a pair that lies inside the intervals.
template <mask M> constexpr decltype(auto) residual(const M& m) {
  if constexpr (requires { m.residual(); })
    return m.residual();
  else
    return (m);
}

namespace detail {

// What a mask says of a block by itself.
template <mask M>
constexpr cover known([[maybe_unused]] const M& m, [[maybe_unused]] const block& x) {
  if constexpr (requires { m.covers(x); })
    return m.covers(x);
  else
    return cover::some;
}

}  // namespace detail

// The answer of a vector form: one flag for all lanes becomes a flag a lane.
template <class At, class Flag> constexpr auto lanewise(const At& at, Flag flag) {
  using flags = decltype(at.q <= at.q);
  return flags(flag);
}

// What is known of a block of pairs without asking each: `some` is always a correct answer.
template <mask M> cover covers(const M& m, const block& x, index keys, index offset = 0) {
  if (const cover known = detail::known(m, x); known != cover::some) return known;
  bool every = true, any = false;
  for (index q = x.q.begin; q < x.q.end; ++q) {
    index seen = 0;
    intervals(m, {.b = x.b, .h = x.h, .q = q, .row = q - offset}, keys, [&](span s) {
      seen +=
          span{s.begin > x.k.begin ? s.begin : x.k.begin, s.end < x.k.end ? s.end : x.k.end}.size();
    });
    any |= seen > 0;
    every &= seen == x.k.size();
  }
  return !any ? cover::none : every && is_exact(m) ? cover::all : cover::some;
}

// Everything is allowed.
struct full {
  static constexpr bool exact = true;
  constexpr bool operator()(const position&) const { return true; }
  template <class F> constexpr void intervals(const position&, index keys, F emit) const {
    if (keys > 0) emit(span{0, keys});
  }
};

}  // namespace heed
