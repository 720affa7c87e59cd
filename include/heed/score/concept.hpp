// SPDX-License-Identifier: BSL-1.0
// Score modifiers: s' = f(s, at).
//
// A lambda that takes `heed::position` is called element by element. One that takes `auto at` is
// called with vectors as well: `at.q` is then a batch of consecutive queries and `at.k` a scalar of
// the same value type, or, where queries are few, `at.k` a batch of consecutive keys and `at.q` a
// batch of the one query; `at.h` and `at.b` are indices: s + slope[at.h] * (at.k - at.q). It
// chooses by `simd::select(at.q >= at.k, s, other)`, lane by lane: a branch on a comparison does
// not compile. Modifiers see masked pairs too; what they make of those is discarded.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/simd.hpp>

namespace heed {

// `at` of a single pair, for the scalar form of a generic modifier.
template <class T> using point = lanes<T, T>;

template <class S, class V, class T>
concept vector_score = requires(const S& f, V s, const lanes<V, T>& at) {
  { f(s, at) } -> std::convertible_to<V>;
} && simd::branchless<S, V, lanes<typename simd::strict<V>::type, T>>;

template <class S>
concept score_modifier =
    std::is_same_v<S, none> || is_chain<S> || vector_score<S, double, double> ||
    requires(const S& f, float s, const position& at) {
      { f(s, at) } -> std::convertible_to<float>;
    };

namespace detail {

template <class P> const P& bare(const P& policy) { return policy; }  // NOLINT: see below
template <class P> const P& bare(const borrowed<P>& b) { return b.policy; }
template <class P> void bare(const P&&) = delete;  // refers to its argument

// f(s, at); a float parameter takes a double by a cast, so that no conversion is silent.
template <class T, class S, class At> T called(const S& f, T s, const At& at) {
  if constexpr (requires { f({static_cast<float>(s)}, at); } && !requires { f({s}, at); })
    return static_cast<T>(f(static_cast<float>(s), at));
  else
    return static_cast<T>(f(s, at));
}

}  // namespace detail

// One score, by whichever form the modifier has; T is float or double.
template <class S, class T> T modified(const S& f, T s, const position& at) {
  if constexpr (std::is_same_v<S, none>)
    return s;
  else if constexpr (is_chain<S>)
    return modified(f.second, modified(f.first, s, at), at);
  else if constexpr (vector_score<S, T, T>)
    return detail::called(
        detail::bare(f), s,
        point<T>{.b = at.b, .h = at.h, .q = T(at.q), .k = T(at.k), .row = at.row, .slot = at.slot});
  else
    return detail::called(detail::bare(f), s, at);
}

// f(s, at) of a modifier or a chain in its generic form.
template <class S, class V, class At> V applied(const S& f, const V& s, const At& at) {
  if constexpr (std::is_same_v<S, none>)
    return s;
  else if constexpr (is_chain<S>)
    return applied(f.second, applied(f.first, s, at), at);
  else
    return f(s, at);
}

// ds'/ds at the score s: the modifier's `grad(s, at)`, for a chain the product along it.
template <class S, class V, class At> V slope(const S& f, const V& s, const At& at) {
  if constexpr (std::is_same_v<S, none>) {
    return simd::constant<V>(1);
  } else if constexpr (is_chain<S>) {
    return slope(f.first, s, at) * slope(f.second, applied(f.first, s, at), at);
  } else {
    static_assert(requires { f.grad(s, at); }, "this score modifier has no grad(s, at)");
    return f.grad(s, at);
  }
}

// A vector of scores of consecutive queries, one of those of the panel `in`. Lanes beyond the last
// query keep their score where a modifier is called element by element.
template <class Arch, class S, class T>
HEED_INLINE simd::batch<T, Arch> modified(const S& f, simd::batch<T, Arch> s,
                                          const lanes<simd::batch<T, Arch>, T>& at,
                                          const tile& in) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  if constexpr (std::is_same_v<S, none>) {
    return s;
  } else if constexpr (is_chain<S>) {
    return modified<Arch>(f.second, modified<Arch>(f.first, s, at, in), at, in);
  } else if constexpr (vector_score<S, B, T>) {
    return f(s, at);
  } else {
    T each[W];
    simd::store(each, s);
    for (index i = 0; i < (at.lane + W < in.rows ? W : in.rows - at.lane); ++i)
      each[i] = detail::called(detail::bare(f), each[i],
                               position{in.b, in.h, in.q + at.lane + i, in.key(at.key),
                                        in.row + at.lane + i, in.slot + at.key});
    return simd::load<T, Arch>(each);
  }
}

// A modifier that acts on a whole panel at once has
//   template <class Arch, class T> void apply(const tile& at, T* s, T*& scratch) const;
// in place of `prepare`.
template <class S> consteval bool acts_on_panels() {
  if constexpr (is_chain<S>)
    return acts_on_panels<decltype(S::first)>() || acts_on_panels<decltype(S::second)>();
  else
    return requires(const S& f, const tile& at, double* s) {
      f.template apply<simd::scalar>(at, s, s);
    };
}

// f(i, at) for each vector of consecutive queries and key of a panel, i its place there.
template <class Arch, class T, class F> HEED_INLINE void each_vector(const tile& in, const F& f) {
  using B = simd::batch<T, Arch>;
  const B steps = simd::iota<T, Arch>();
  for (index lane = 0; lane < in.rows; lane += simd::width<T, Arch>) {
    lanes<B, T> at{.b = in.b,
                   .h = in.h,
                   .q = B(B(static_cast<T>(in.q + lane)) + steps),
                   .k = static_cast<T>(in.k),
                   .row = in.row + lane,
                   .slot = in.slot,
                   .lane = lane,
                   .key = 0};
    for (index i = lane; at.key < in.keys; ++at.key, ++at.slot, at.k += T(1), i += in.pitch) {
      if (in.places) at.k = static_cast<T>(in.places[at.key]);
      f(i, at);
    }
  }
}

// S[key][lane] <- f(S) for the panel and key tile `in`, `in.pitch` lanes a key.
template <class Arch, class S, class T>
void modify_panel(const S& f, const tile& in, T* s, T*& scratch) {
  if constexpr (!acts_on_panels<S>()) {
    const auto score = prepared<Arch>(f, in, scratch);
    each_vector<Arch, T>(in, [&](index i, const auto& at) HEED_INLINE_LAMBDA {
      simd::store(s + i, modified<Arch>(score, simd::load<T, Arch>(s + i), at, in));
    });
  } else if constexpr (is_chain<S>) {
    modify_panel<Arch>(f.first, in, s, scratch);
    modify_panel<Arch>(f.second, in, s, scratch);
  } else {
    f.template apply<Arch>(in, s, scratch);
  }
}

// Σ f(i, at) over a panel.
template <class Arch, class T, class F> double panel_sum(const tile& in, const F& f) {
  simd::batch<T, Arch> sum(T(0));
  each_vector<Arch, T>(in,
                       [&](index i, const auto& at) HEED_INLINE_LAMBDA { sum = sum + f(i, at); });
  return double(simd::sum_lanes<T, Arch>(sum));
}

}  // namespace heed
