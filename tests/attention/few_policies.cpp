// SPDX-License-Identifier: BSL-1.0
#include "attention/few.hpp"

#include <heed/mask/causal.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/alibi.hpp>

using namespace heed::test;

TEST_CASE("masks, scores and normalisers") {
  const std::vector<float> slopes{0.5f, 0.25f, 0.75f, 0.1f}, sinks{0.3f, -1, 2, 0};
  each_few_shape<float>([&](heed::index queries, heed::index keys) {
    for (heed::index d : {3, 16, 40}) {
      const auto all = [&](const auto& spec) {
        check_few<float>(spec, queries, keys, d, d + 1);
        check_few<float>(spec, queries, keys, d, d, {}, 1, 4, 2);
      };
      all(heed::attention{.mask = heed::causal{}});
      all(heed::attention{.mask = heed::window{.left = 1}});
      all(heed::attention{.mask = heed::causal{}, .offset = -1});
      all(heed::attention{.mask = heed::causal{}, .scale = 0.75, .offset = 1});
      all(heed::attention{.normalizer = heed::sigmoid{}});
      all(heed::attention{.mask = heed::causal{}, .normalizer = heed::sigmoid{}});
      all(heed::attention{.score = [](auto s, const auto& at) { return s + at.k * 0.5f; }});
    }
    check_few<float>(heed::attention{.score = heed::alibi{slopes}}, queries, keys, 8, 8, {}, 1, 4,
                     4);
    check_few<float>(heed::attention{.normalizer = heed::sink_softmax{sinks}}, queries, keys, 8, 8,
                     {}, 1, 4, 4);
  });
}
