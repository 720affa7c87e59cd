// SPDX-License-Identifier: BSL-1.0
// Gradients of softmax attention under masks, plans, offsets and shared heads.
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/tree.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/varlen.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

TEST_CASE("gradients with every key, and heads of every kind") {
  for (const backward_shape& x :
       {backward_shape{}, backward_shape{.h = 3, .kv = 1}, backward_shape{.h = 2, .kv = 2},
        backward_shape{1, 1, 1, 1, 1, 1, 1}, backward_shape{1, 2, 1, 3, 2, 5, 130},
        backward_shape{1, 1, 1, 201, 7, 33, 3}, backward_shape{1, 2, 2, 5, 211, 3, 4}})
    check_gradients("full", attention{}, {}, {}, x);
}

TEST_CASE("gradients without keys or queries") {
  check_gradients("no keys", attention{}, {}, {}, {.lk = 0});
  check_gradients("no queries", attention{}, {}, {}, {.lq = 0});
  check_gradients("no batch", attention{}, {}, {}, {.b = 0});
  check_gradients("no channels of values", attention{}, {}, {}, {.dv = 0});
}

TEST_CASE("gradients with a scale and an offset of their own") {
  check_gradients("scale", attention{.scale = -0.7});
  check_gradients("offset", attention{.mask = heed::causal{}, .offset = 5});
}

TEST_CASE("gradients under masks of spans") {
  for (const backward_shape& x :
       {backward_shape{}, backward_shape{.lq = 60, .lk = 41}, backward_shape{.lq = 130, .lk = 230}})
    check_gradients("causal", attention{.mask = heed::causal{}}, {}, {}, x);
  check_gradients("window", attention{.mask = heed::window{5}});
  check_gradients("window and first keys",
                  attention{.mask = heed::window{.left = 4, .right = 1} || heed::first_keys{2}});
  const std::vector<int> keys{20, 0}, queries{37, 30};
  check_gradients("lengths", attention{.mask = heed::lengths{keys, queries}});
}

TEST_CASE("gradients under masks that are asked") {
  check_gradients("where", attention{.mask = heed::where([](const heed::position& at) {
                                       return (at.q + 2 * at.k + at.h) % 3 != 0;
                                     })});
  check_gradients("any_mask", attention{.mask = heed::any_mask(heed::window{9})});
}

TEST_CASE("gradients under a tree") {
  const std::vector<int> first{20, 16};
  std::vector<int> parents;
  for (int i = 0; i < 33; ++i) parents.push_back(i % 4 ? i - 1 : i / 2 - 1);
  const heed::token_tree t = heed::token_tree::from_parents(parents);
  check_gradients("tree", attention{.mask = heed::tree{t, first}});
}

TEST_CASE("gradients of packed sequences, some without keys or queries") {
  const std::vector<int> q{0, 10, 10, 25, 37}, k{0, 20, 25, 25, 53};
  check_gradients("varlen", attention{.mask = heed::causal{}, .plan = heed::varlen{q, k}}, {}, {},
                  {.b = 1});
}
