// SPDX-License-Identifier: BSL-1.0
// Prefill, prefill in chunks, decoding and the verification of drafts give the same rows, whatever
// the cache and whichever driver takes the call.
#include <heed/mask/causal.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/softcap.hpp>

#include "support/decoding.hpp"

namespace heed::test {
namespace {

template <class Spec> void every_way(const Spec& spec) {
  const prompts p(true);
  every_way(spec, spec, p, p.k);
}

}  // namespace

TEST_CASE("causal rows do not depend on how they are reached") {
  every_way(attention{.mask = causal{}});
}
TEST_CASE("nor do rows of a window and the first keys") {
  every_way(attention{.mask = causal{} && (window{50} || first_keys{4})});
}
TEST_CASE("nor rows whose scores are capped and biased by distance") {
  const auto slopes = alibi_slopes(prompts::heads);
  every_way(attention{.mask = causal{}, .score = softcap{4} | alibi{slopes}});
}
TEST_CASE("nor rows with a sink") {
  const std::vector<float> logits{-1, 0.5f, 2, 0};
  every_way(attention{.mask = causal{}, .normalizer = sink_softmax{logits}});
}

}  // namespace heed::test
