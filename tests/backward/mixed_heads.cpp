// SPDX-License-Identifier: BSL-1.0
// Gradients through mixed heads, and of what mixes them, against differences in double.
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/softcap.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;
using heed::multi_token;
using heed::talking;

TEST_CASE("gradients through talking heads") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 51, .lk = 40}}) {
    learned before({1, 1, 4, 4}, 0.7), after({1, 1, 4, 4}, 0.7, 0, 12), z(4);
    check_gradients("talking",
                    attention{.mask = heed::causal{},
                              .score = heed::softcap{3},
                              .normalizer = heed::sink_softmax{z.list()},
                              .weights = talking{before.table(), after.table()}},
                    {.normalizer = {z.to_list()}, .weights = {before.to(), after.to()}},
                    {&before, &after, &z}, x);
  }
}

TEST_CASE("gradients through scores that look at their neighbours") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.b = 1, .lq = 151, .lk = 40}}) {
    learned theta({1, 4, 3, 5}, 0.4), later({1, 4, 4, 2}, 0.4, 0, 12), mix({1, 2, 2, 2}, 1, 0, 13);
    check_gradients("multi token",
                    attention{.mask = heed::causal{},
                              .weights = multi_token{theta.table(), later.table(), mix.table()}},
                    {.weights = {theta.to(), later.to(), mix.to()}}, {&theta, &later, &mix}, x);
    check_gradients("only kernels of scores",
                    attention{.weights = multi_token{.kernel = theta.table()}},
                    {.weights = {.kernel = theta.to()}}, {&theta}, x);
  }
}
