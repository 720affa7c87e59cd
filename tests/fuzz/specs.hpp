// SPDX-License-Identifier: BSL-1.0
// The specs that are fuzzed: every policy, and as many pairs of policies as 40 rows hold (a greedy
// choice). The last rows choose mask and score at run time.
#pragma once

#include <heed/attention/attend.hpp>
#include <tuple>

#include "fuzz/masks.hpp"
#include "fuzz/policies.hpp"
#include "fuzz/scores.hpp"

namespace heed::fuzz {

// Rows transforms queries and keys.
template <class Mask, class Similarity, class Score, class Normalizer, class Rows = none,
          class Value = none, class Output = none, class Extra = none, class Plan = none>
using of = std::type_identity<
    attention<Mask, Similarity, Score, Normalizer, none, Rows, Rows, Value, Output, Extra, Plan>>;

using table = std::tuple<
    // clang-format off
    // 0
    of<prefix, feature_product<widening_feature>, chain<softcap, alibi>, custom<bell_weight>, rope_angles, none, output_bias, none, varlen>,
    of<packed_documents, dot, alibi, sigmoid, chain<qk_norm, rope>, rope>,
    of<either_mask<rectangle, where<same_residue>>, distance, clamp, linear, rope, none, chain<output_gate, output_bias>, extra_slots>,
    of<both_masks<causal, document>, feature_product<elu1_feature>, temperature, custom<square_weight>, rope_axes, doubled_rows, output_gate, extra_slots>,
    // 4
    of<block_causal, additive<>, relative_bias, laplace, doubled_rows, doubled_rows>,
    of<where<far_apart>, cosine, slanted_score, signed_softmax, none, none, none, none, varlen>,
    of<lengths, direct_distance, bias, relu, qk_norm, none, output_gate>,
    of<full, additive<bent_activation>, none, softmax, rope_axes, rope, chain<output_gate, output_bias>, none, varlen>,
    // 8
    of<window, additive<bent_activation>, boolean_bias, elu1, none, none, none, extra_slots>,
    of<document, direct_distance, key_bias, unnormalized, chain<qk_norm, rope>, doubled_rows, output_bias, extra_slots, varlen>,
    of<both_masks<causal, not_mask<first_keys>>, additive<>, scalable_softmax, sink_softmax, qk_norm, none, output_bias>,
    of<types, feature_product<elu1_feature>, softcap, unnormalized, rope_angles, rope>,
    // 12
    of<causal, feature_product<widening_feature>, uneven_score, signed_softmax, rope, doubled_rows, chain<output_gate, output_bias>>,
    of<either_mask<window, first_keys>, dot, uneven_score, sink_softmax, doubled_rows, rope, output_gate, extra_slots, varlen>,
    of<chunk, cosine, clamp, custom<square_weight>, chain<qk_norm, rope>>,
    of<where<same_residue>, distance, relative_bias, softmax, rope_angles>,
    // 16
    of<striped, distance, boolean_bias, elu1, rope, rope, output_bias, none, varlen>,
    of<both_masks<window, where<far_apart>>, feature_product<widening_feature>, none, sigmoid, qk_norm, none, none, extra_slots>,
    of<striped, dot, temperature, custom<bell_weight>, none, doubled_rows, chain<output_gate, output_bias>>,
    of<document, additive<bent_activation>, chain<softcap, alibi>, linear, doubled_rows, none, output_gate>,
    // 20
    of<where<same_residue>, additive<>, softcap, relu, rope_axes, none, chain<output_gate, output_bias>, extra_slots, varlen>,
    of<prefix, cosine, slanted_score, laplace, qk_norm, rope, none, extra_slots>,
    of<both_masks<window, where<far_apart>>, feature_product<elu1_feature>, bias, laplace, none, none, output_bias, none, varlen>,
    of<either_mask<window, first_keys>, direct_distance, scalable_softmax, elu1, rope_axes, doubled_rows>,
    // 24
    of<where<far_apart>, additive<>, key_bias, sigmoid, rope_angles, rope, output_gate>,
    of<both_masks<causal, not_mask<first_keys>>, dot, alibi, softmax, rope, none, none, extra_slots, varlen>,
    of<block_causal, distance, softcap, custom<bell_weight>, chain<qk_norm, rope>, none, output_gate>,
    of<both_masks<causal, document>, direct_distance, alibi, unnormalized, doubled_rows, none, chain<output_gate, output_bias>>,
    // 28
    of<packed_documents, additive<bent_activation>, bias, sink_softmax, rope_angles, doubled_rows, output_bias, extra_slots>,
    of<either_mask<rectangle, where<same_residue>>, feature_product<elu1_feature>, key_bias, signed_softmax, doubled_rows, none, none, none, varlen>,
    of<lengths, feature_product<widening_feature>, scalable_softmax, linear, none, rope, none, none, varlen>,
    of<chunk, cosine, none, relu, rope, doubled_rows, output_bias>,
    // 32
    of<full, dot, none, softmax>,
    of<causal, dot, none, softmax>,
    of<types, dot, chain<bias, softcap>, softmax, rope>,
    of<rectangle, dot, none, softmax, none, none, none, extra_slots>,
    // 36
    of<any_mask, dot, any_score, softmax>,
    of<any_mask, dot, any_score, sink_softmax, rope, none, output_gate, extra_slots, varlen>,
    of<both_masks<any_mask, any_mask>, distance, chain<any_score, softcap>, softmax>,
    of<either_mask<causal, any_mask>, feature_product<>, any_score, relu, none, none, none, none, varlen>
    // clang-format on
    >;
static_assert(std::tuple_size_v<table> == 40);

}  // namespace heed::fuzz
