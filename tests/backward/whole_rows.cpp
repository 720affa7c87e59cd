// SPDX-License-Identifier: BSL-1.0
// Gradients through normalisers of whole rows, against differences of the fast engine in double.
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/qk_norm.hpp>

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
  // Some and many rows that see nothing.
  for (const heed::index lq : {51, 130})
    check_gradients("slots, masked",
                    attention{.mask = heed::causal{}, .normalizer = heed::query_axis{1e-3}}, {}, {},
                    {.lq = lq, .lk = 40});
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

TEST_CASE("gradients of what is learned beside whole rows, each in its own place") {
  learned gq(9, 0.2, 1), gk(9, 0.2, 1, 12), gv(6, 0.2, 1, 13);
  check_gradients("gains",
                  attention{.mask = heed::causal{},
                            .normalizer = heed::stick_breaking{true},
                            .query = heed::qk_norm{gq.list()},
                            .key = heed::qk_norm{gk.list()},
                            .value = heed::qk_norm{gv.list()}},
                  {.query = {gq.to_list()}, .key = {gk.to_list()}, .value = {gv.to_list()}},
                  {&gq, &gk, &gv});
}

TEST_CASE("gradients through whole rows of packed sequences") {
  const std::vector<int> cu_q{0, 12, 12, 37}, cu_k{0, 9, 30, 53};
  const heed::rope turn{heed::rotations::plain(8)};
  learned gk(9, 0.2, 1, 12);
  for (const bool few : {false, true})
    check_gradients("sticks",
                    attention{.mask = heed::causal{} && heed::window{.left = few ? 3 : 40},
                              .normalizer = heed::stick_breaking{true},
                              .query = turn,
                              .key = turn | heed::qk_norm{gk.list()},
                              .value = heed::rope{heed::rotations::plain(6)},
                              .plan = heed::varlen{cu_q, cu_k}},
                    {.key = {{}, {gk.to_list()}}}, {&gk}, {.b = 1});
}
