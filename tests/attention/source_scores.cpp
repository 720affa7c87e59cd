// SPDX-License-Identifier: BSL-1.0
// Score modifiers and row transforms on cached tokens: by position, whichever driver takes the
// call.
#include <heed/mask/causal.hpp>
#include <heed/mask/where.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/relative_bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>

#include "support/on_source.hpp"

namespace heed::test {

TEST_CASE("chains of modifiers on sources") {
  const auto slopes = alibi_slopes(8);
  for (source_call call : source_calls()) {
    call.group = 4;
    agree_on(attention{.mask = causal{}, .score = softcap{4} | alibi{slopes}}, call);
  }
}

TEST_CASE("lambdas of either form on sources") {
  const auto pairs = [](float s, const position& at) { return at.k % 3 == 0 ? s * 0.5f : s; };
  for (const source_call& call : source_calls()) {
    agree_on(attention{.mask = causal{},
                       .score = [](auto s, auto at) { return s * 0.5f + (at.k - at.q) * 0.02f; }},
             call);
    agree_on(attention{.mask = causal{}, .score = pairs}, call);
  }
}

TEST_CASE("relative tables and erased modifiers on sources") {
  const auto table = random<float>({1, 8, 32, 1}, 5);
  const auto t5 = relative_bias::t5(table.in(), bucket_order::causal);
  for (source_call call : source_calls()) {
    call.group = 4;
    agree_on(attention{.mask = causal{}, .score = t5}, call);
    agree_on(attention{.mask = causal{}, .score = any_score(t5)}, call);
  }
}

TEST_CASE("rotation by the position of cached keys") {
  const rope turn{rotations::plain(24)};
  for (const source_call& call : source_calls())
    agree_on(attention{.mask = causal{}, .query = turn, .key = turn}, call, 24);
}

TEST_CASE("similarities that rewrite keys, and masks that are asked, on sources") {
  const auto thirds = where([](const position& at) { return (at.q - at.k) % 3 != 1; });
  for (const source_call& call : source_calls()) {
    agree_on(attention{.mask = causal{} && thirds, .similarity = cosine{}}, call);
    agree_on(attention{.mask = causal{}, .similarity = distance{}}, call, 24);
  }
}

}  // namespace heed::test
