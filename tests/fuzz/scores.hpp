// SPDX-License-Identifier: BSL-1.0
// Score modifiers with random parameters.
#pragma once

#include <heed/score/alibi.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/clamp.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/score/relative_bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/score/temperature.hpp>

#include "fuzz/policies.hpp"

namespace heed::fuzz {

inline softcap draw(tag<softcap>, call& c) { return {c.real(0.5, 40)}; }
inline alibi draw(tag<alibi>, call& c) {
  return {c.keep(alibi_slopes(c.shape.heads)),
          c.chance(2) ? alibi_form::causal : alibi_form::symmetric};
}
inline bias draw(tag<bias>, call& c) {
  const problem_shape& s = c.shape;
  return {c.table({s.batch, s.heads, s.queries, s.keys}, -3, 3)};
}
inline boolean_bias draw(tag<boolean_bias>, call& c) {
  extents e{c.shape.batch, c.shape.heads, c.shape.queries, c.shape.keys};
  for (index& n : e)
    if (c.chance(3)) n = 1;
  const index size = e[0] * e[1] * e[2] * e[3] + 1;
  const std::shared_ptr<bool[]> flags(new bool[static_cast<std::size_t>(size)]);
  for (index i = 0; i < size; ++i) flags[i] = !c.chance(3);
  return {view<const bool>(c.keep(flags).get(), e)};
}
inline key_bias draw(tag<key_bias>, call& c) {
  const problem_shape& s = c.shape;
  const index group = c.chance(2) ? 1 : s.group();
  return {c.table({s.batch, s.heads / group, s.keys, 1}, -2, 2), group};
}
inline relative_bias draw(tag<relative_bias>, call& c) {
  const auto entries = [&](index n) {
    return c.exactly({1, c.chance(3) ? 1 : c.shape.heads, n, 1}, -2, 2);
  };
  switch (c.from(0, 3)) {
    case 0:
      return relative_bias::t5(entries(8), bucket_order::causal, c.from(9, 90));
    case 1:
      return relative_bias::t5(entries(16), bucket_order::bidirectional, c.from(9, 90));
    case 2:
      return relative_bias::clipped(entries(2 * c.from(0, 40) + 1));
    default:
      return relative_bias::toeplitz(
          entries(std::max<index>(1, c.shape.queries + c.shape.keys - 1)), c.shape.keys);
  }
}
inline clamp draw(tag<clamp>, call& c) {
  clamp x;
  if (!c.chance(4)) x.lowest = c.real(-9, 0);
  if (!c.chance(4)) x.highest = c.real(0, 9);
  return x;
}
inline temperature draw(tag<temperature>, call& c) {
  return {c.table({c.shape.batch, c.shape.heads, c.shape.queries, 1}, 0.5, 3)};
}
inline scalable_softmax draw(tag<scalable_softmax>, call& c) {
  return {c.table({1, c.shape.heads, 1, 1}, 0.1, 0.6), c.chance(2) ? 0 : c.shape.keys};
}
// Element by element.
struct uneven_score {
  template <class S> S operator()(S s, const position& at) const {
    // One exact shift: the sums on the way to two that cancel would be rounded by what no bound
    // sees.
    return s * S(1 + at.k % 2) + (S(0.25) * S(at.h) - S(at.slot % 3));
  }
};
// Vectors of queries.
struct slanted_score {
  double slope;
  template <class S, class At> S operator()(const S& s, const At& at) const {
    return S(s - S(simd::constant<S>(slope) * simd::abs(S(S(at.q) - S(at.k)))));
  }
};
inline uneven_score draw(tag<uneven_score>, call&) { return {}; }
inline slanted_score draw(tag<slanted_score>, call& c) { return {c.real(0, 0.2)}; }
template <class A, class B> chain<A, B> draw(tag<chain<A, B>>, call& c) {
  return {draw(tag<A>{}, c), draw(tag<B>{}, c)};
}

inline any_score draw(tag<any_score>, call& c) {
  any_score s;
  const bool differentiable = c.backward || c.chance(2);
  const auto held = [&](auto score) {
    return differentiable ? any_score::differentiable(score) : any_score(score);
  };
  const auto one_of = [&]<class... S>(tag<S>... which) {
    index n = c.from(0, index(sizeof...(S)));
    ((n-- == 0 ? void(s = held(draw(which, c))) : void()), ...);
  };
  one_of(tag<softcap>{}, tag<alibi>{}, tag<bias>{}, tag<boolean_bias>{}, tag<key_bias>{},
         tag<relative_bias>{}, tag<clamp>{}, tag<temperature>{}, tag<scalable_softmax>{},
         tag<uneven_score>{}, tag<slanted_score>{}, tag<chain<bias, softcap>>{});
  return s;
}

}  // namespace heed::fuzz
