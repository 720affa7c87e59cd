// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend_backward.hpp>
#include <heed/mask/causal.hpp>
#include <heed/plan/selected.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/plan/selected.hpp>
#include <heed/reference/select/moba.hpp>
#include <heed/select/moba.hpp>

#include "support/backward_call.hpp"
#include "support/block_lists.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

struct moba_case {
  index b, h, kv, lq, lk, d;
  moba spec;
};
const std::vector<moba_case>& cases() {
  static const std::vector<moba_case> all = {
      {1, 1, 1, 1, 1, 1, {4, 1}},       {2, 4, 2, 33, 33, 7, {8, 3}},
      {1, 2, 1, 13, 70, 17, {16, 2}},   {1, 2, 2, 70, 13, 5, {4, 2}},
      {1, 1, 1, 5, 0, 3, {4, 2}},       {1, 1, 1, 0, 5, 3, {4, 2}},
      {1, 2, 1, 100, 100, 64, {1, 40}}, {1, 1, 1, 50, 50, 8, {64, 3}},
      {2, 2, 1, 131, 131, 33, {5, 99}}};
  return all;
}

template <class T> void check_choice(const moba_case& x) {
  const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1), k = random<T>({x.b, x.kv, x.lk, x.d}, 2);
  const block_selection chosen = select_moba(x.spec, q.in(), k.in());
  chosen.lists().check("lists", {.batch = x.b, .heads = x.h, .queries = x.lq, .keys = x.lk});
  for (index b = 0; b < x.b; ++b)
    for (index h = 0; h < x.h; ++h) {
      const auto want = reference::select::moba(q.head(b, h), k.head(b, h / (x.h / x.kv)),
                                                x.spec.block, x.spec.top);
      for (index i = 0; i < x.lq; ++i) {
        std::vector<int> blocks;
        for (index n = 0; n < want.cols(); ++n)
          if (want(i, n)) blocks.push_back(int(n));
        const auto got = chosen.lists()(b, h, i);
        CAPTURE(b, h, i, x.lq, x.lk);
        CHECK(std::vector<int>(got.begin(), got.end()) == blocks);
      }
    }
}

}  // namespace

TEST_CASE("MoBA chooses what its definition says") {
  for (const moba_case& x : cases()) check_choice<double>(x);
  check_choice<float>(cases()[1]);
}

TEST_CASE("MoBA takes equal gates by the lower block") {
  tensor<> q({1, 1, 16, 4}, 1.f), k({1, 1, 16, 4}, 1.f);
  const block_selection chosen = select_moba({.block = 2, .top = 3}, q.in(), k.in());
  for (index i = 0; i < 16; ++i) {
    const int own = int(i / 2);
    const auto got = chosen.lists()(0, 0, i);
    const std::vector<int> want = own == 0   ? std::vector<int>{0}
                                  : own == 1 ? std::vector<int>{0, 1}
                                             : std::vector<int>{0, 1, own};
    CHECK(std::vector<int>(got.begin(), got.end()) == want);
  }
}

TEST_CASE("MoBA chooses the same for any layout, type and number of threads") {
  const auto q = random<float>({2, 4, 90, 24}, 1), k = random<float>({2, 2, 90, 24}, 2);
  const moba spec{.block = 8, .top = 3};
  const block_selection want = select_moba(spec, q.in(), k.in());
  const block_selection threads = select_moba(spec, q.in(), k.in(), shuffled{});
  CHECK(threads.blocks == want.blocks);
  CHECK(threads.offsets == want.offsets);
  // [B,L,H,D] in memory.
  tensor<> q2({2, 90, 4, 24}), k2({2, 90, 2, 24});
  for (index b = 0; b < 2; ++b)
    for (index i = 0; i < 90; ++i)
      for (index c = 0; c < 24; ++c) {
        for (index h = 0; h < 4; ++h) q2(b, i, h, c) = q.in()(b, h, i, c);
        for (index h = 0; h < 2; ++h) k2(b, i, h, c) = k.in()(b, h, i, c);
      }
  const view<const float> qs(q2.data.data(), {2, 4, 90, 24}, {4 * 90 * 24, 24, 4 * 24, 1}),
      ks(k2.data.data(), {2, 2, 90, 24}, {2 * 90 * 24, 24, 2 * 24, 1});
  CHECK(select_moba(spec, qs, ks).blocks == want.blocks);
}

TEST_CASE("MoBA attends to what it chose, and to everything where it may choose everything") {
  const auto q = uniform({1, 4, 150, 20}, 1), k = uniform({1, 2, 150, 20}, 2),
             v = uniform({1, 2, 150, 9}, 3);
  for (const index top : {2, 100}) {
    const block_selection chosen = select_moba({.block = 16, .top = top}, q.in(), k.in());
    check_result_of_heads(
        attended(attention{.mask = selected{chosen.lists(), causal{}}}, q, k, v), q, k, v,
        [&](index b, index h) {
          const auto past = reference::mask::causal(150, 150);
          return top == 100 ? past : reference::plan::selected(chosen.lists(), b, h, past);
        });
  }
}

TEST_CASE("Gradients of MoBA go through the keys that it chose") {
  const backward_shape shape{.b = 1, .h = 2, .kv = 1, .lq = 24, .lk = 24, .d = 5, .dv = 4};
  const auto q = random<double>(shape.q(), 1), k = random<double>(shape.k(), 2);
  const block_selection chosen = select_moba({.block = 4, .top = 2}, q.in(), k.in());
  check_gradients("moba", attention{.mask = selected{chosen.lists(), causal{}}}, {}, {}, shape);
}

TEST_CASE("MoBA refuses what has no blocks") {
  const auto q = uniform({1, 2, 4, 3}, 1), k = uniform({1, 2, 4, 3}, 2),
             odd = uniform({1, 3, 4, 3}, 2), wide = uniform({1, 2, 4, 5}, 2);
  CHECK_THROWS_WITH(select_moba({.block = 0}, q.in(), k.in()), ContainsSubstring("block"));
  CHECK_THROWS_WITH(select_moba({.top = 0}, q.in(), k.in()), ContainsSubstring("top"));
  CHECK_THROWS_WITH(select_moba({}, q.in(), odd.in()),
                    ContainsSubstring("heed::select_moba") && ContainsSubstring("multiple"));
  CHECK_THROWS_WITH(select_moba({}, q.in(), wide.in()), ContainsSubstring("channels"));
}

TEST_CASE("MoBA with a block of any size is one block") {
  const auto q = random<float>({1, 1, 9, 4}, 1);
  const auto chosen = select_moba({.block = std::numeric_limits<index>::max()}, q.in(), q.in());
  CHECK(chosen.blocks == std::vector<int>(9, 0));
}

}  // namespace heed::test
