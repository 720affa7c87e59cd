// SPDX-License-Identifier: BSL-1.0
// Normalisers, extra slots, value transforms and epilogues on cached tokens.
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/custom.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>

#include "support/on_source.hpp"

namespace heed::test {

TEST_CASE("sinks on sources") {
  const std::vector<float> logits{-1, 0.5f, 2, 0, -3, 1, 4, 0.1f};
  for (source_call call : source_calls()) {
    call.group = 4;
    agree_on(attention{.mask = causal{}, .normalizer = sink_softmax{logits}}, call);
  }
}

TEST_CASE("weights that look at one score alone, on sources") {
  for (const source_call& call : source_calls()) {
    agree_on(attention{.mask = causal{}, .normalizer = sigmoid{}}, call, 32);
    agree_on(attention{.mask = causal{}, .normalizer = relu{}}, call, 32);
    agree_on(attention{.mask = causal{}, .normalizer = custom{[](auto s) { return s * s; }}}, call,
             32);
  }
}

TEST_CASE("signed softmax on sources") {
  for (const source_call& call : source_calls())
    agree_on(attention{.mask = causal{}, .normalizer = signed_softmax{}}, call);
}

TEST_CASE("extra slots, value transforms and epilogues on sources") {
  const auto k = random<float>({1, 1, 3, 24}, 8), v = random<float>({1, 1, 3, 17}, 9);
  const auto halve = [](auto* x, index depth, const row_position& at) {
    for (index c = 0; c < depth; ++c) x[c] *= at.pos % 2 == 0 ? 1 : 2;
  };
  for (const source_call& call : source_calls())
    agree_on(attention{.mask = causal{},
                       .value = halve,
                       .output = halve,
                       .extra = extra_slots{k.in(), v.in()}},
             call, 16);
}

}  // namespace heed::test
