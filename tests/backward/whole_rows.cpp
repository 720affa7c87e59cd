// SPDX-License-Identifier: BSL-1.0
// Gradients through normalisers of whole rows, against differences of the fast engine in double.
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/softcap.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

TEST_CASE("gradients through sparse weights that sum to one") {
  for (const double alpha : {1.5, 2.0, 1.25})
    for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 51, .lk = 40}})
      check_gradients("entmax " + std::to_string(alpha),
                      attention{.mask = heed::causal{}, .normalizer = heed::entmax{alpha}}, {}, {},
                      x, curve::kinked);
  check_gradients("top-k", attention{.mask = heed::causal{}, .normalizer = heed::topk{5}}, {}, {},
                  {}, curve::kinked);
}

TEST_CASE("gradients through sticks broken from the nearest key on") {
  for (const bool self : {false, true})
    for (const bool rest : {false, true})
      check_gradients(
          "stick breaking",
          attention{.mask = heed::causal{}, .normalizer = heed::stick_breaking{self, rest}}, {}, {},
          {.lq = 51, .lk = 40});
}

TEST_CASE("gradients where queries compete for keys") {
  check_gradients("slots", attention{.normalizer = heed::query_axis{1e-3}}, {}, {}, {});
  check_gradients("slots, masked",
                  attention{.mask = heed::causal{}, .normalizer = heed::query_axis{1e-3}}, {}, {},
                  {.lq = 51, .lk = 40});
}

TEST_CASE("gradients through whole rows reach score functions and row transforms") {
  check_gradients("softcap, rope",
                  attention{.mask = heed::causal{} && heed::window{.left = 9},
                            .score = heed::softcap{2},
                            .normalizer = heed::stick_breaking{true},
                            .query = heed::rope{},
                            .key = heed::rope{}},
                  {}, {}, {});
}
