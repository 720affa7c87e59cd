// SPDX-License-Identifier: BSL-1.0
// Gradients through transforms of the output and of extra slots, and of what they learn.
#include <heed/heads/output_gate.hpp>
#include <heed/kv/extra.hpp>
#include <heed/kv/output_bias.hpp>
#include <heed/mask/causal.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

TEST_CASE("gradients through gates") {
  for (const auto form : {heed::gate::sigmoid, heed::gate::silu, heed::gate::additive})
    for (const heed::extents& e :
         {heed::extents{2, 4, 37, 6}, heed::extents{2, 4, 37, 1}, heed::extents{1, 4, 37, 6},
          heed::extents{2, 1, 37, 6}, heed::extents{1, 1, 37, 1}, heed::extents{1, 4, 1, 6},
          heed::extents{1, 1, 1, 1}}) {
      learned g(e);
      check_gradients(
          "gate " + heed::check::print(e),
          attention{.mask = heed::causal{}, .output = heed::output_gate{g.table(), form}},
          {.output = {g.to()}}, {&g});
    }
}

TEST_CASE("gradients of output biases, and of chains of transforms") {
  for (const heed::extents& e : {heed::extents{2, 4, 1, 6}, heed::extents{1, 1, 1, 6}}) {
    learned b(e);
    check_gradients("bias", attention{.output = heed::output_bias{b.table()}}, {.output = {b.to()}},
                    {&b});
  }
  learned b(heed::extents{1, 4, 1, 6}), g(heed::extents{2, 1, 37, 6}), h(heed::extents{1, 4, 1, 1});
  check_gradients("chain",
                  attention{.output = heed::output_gate{g.table()} | heed::output_bias{b.table()} |
                                      heed::output_gate{h.table(), heed::gate::silu}},
                  {.output = {{{g.to()}, {b.to()}}, {h.to()}}}, {&g, &b, &h});
}

TEST_CASE("gradients of extra slots") {
  for (const heed::index slots : {0, 3, 130})
    for (const bool own : {false, true}) {
      learned k(heed::extents{own ? 2 : 1, own ? 2 : 1, slots, 9}),
          v(heed::extents{1, own ? 2 : 1, slots, 6}, 1, 0, 12);
      check_gradients(
          "slots",
          attention{.mask = heed::causal{}, .extra = heed::extra_slots{k.table(), v.table()}},
          {.extra = {k.to(), v.to()}}, {&k, &v}, {.lq = 60});
    }
  learned k(heed::extents{1, 2, 3, 9});
  check_gradients("slots without values", attention{.extra = heed::extra_slots{k.table()}},
                  {.extra = {k.to(), {}}}, {&k});
}
