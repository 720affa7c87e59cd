// SPDX-License-Identifier: BSL-1.0
// heed::attention: one kind of attention, as a plain aggregate of policies.
//
//   o_i = output( Σ_j p_ij value(v_j) · finish_i ),   p = normalizer( mask ∘ score(
//   similarity(query(q_i), key(k_j)) ) )
//
// Designators keep the order of the members: attention{.mask = causal{}, .score = softcap{30}}.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/mask/concept.hpp>
#include <heed/normalizer/softmax.hpp>
#include <heed/score/concept.hpp>
#include <heed/similarity/dot.hpp>
#include <limits>

namespace heed {

// `attention::scale` when it is left to the similarity: 1/√D for `dot`.
inline constexpr double automatic = std::numeric_limits<double>::quiet_NaN();

// `attention::offset` when the last query sits at the last key.
inline constexpr index aligned_ends = std::numeric_limits<index>::min();

template <mask Mask = full, class Similarity = dot, class Score = none, class Normalizer = softmax,
          class Weights = none, class Query = none, class Key = none, class Value = none,
          class Output = none, class Extra = none, class Plan = none>
struct attention {
  Mask mask{};              // which pairs exist
  Similarity similarity{};  // one number a pair
  Score score{};            // modifiers of that number, one or a chain
  Normalizer normalizer{};  // scores to weights
  Weights weights{};        // edits of the weights
  double scale = automatic;
  index offset = aligned_ends;  // position of query row 0
  Query query{};                // row transforms while packing, one or a chain
  Key key{};
  Value value{};
  Output output{};  // row transforms of the result
  Extra extra{};    // key/value slots that every query sees
  Plan plan{};      // which rows meet: dense, or varlen
};

namespace detail {

// The same attention with these members in place of its own.
template <class Spec, class Mask, class Weights, class Value, class Output>
auto exchanged(const Spec& s, const Mask& mask, const Weights& weights, const Value& value,
               const Output& output) {
  return attention<Mask, decltype(Spec::similarity), decltype(Spec::score),
                   decltype(Spec::normalizer), Weights, decltype(Spec::query), decltype(Spec::key),
                   Value, Output, decltype(Spec::extra), decltype(Spec::plan)>{
      .mask = mask,
      .similarity = s.similarity,
      .score = s.score,
      .normalizer = s.normalizer,
      .weights = weights,
      .scale = s.scale,
      .offset = s.offset,
      .query = s.query,
      .key = s.key,
      .value = value,
      .output = output,
      .extra = s.extra,
      .plan = s.plan};
}

}  // namespace detail

}  // namespace heed
