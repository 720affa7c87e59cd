// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/plan/selected.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/plan/selected.hpp>
#include <heed/reference/select/block_topk.hpp>
#include <heed/select/block_topk.hpp>

#include "support/backward_call.hpp"
#include "support/block_lists.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

struct lengths_and_spec {
  index lq, lk;
  block_topk spec;
};
const std::vector<lengths_and_spec>& cases() {
  static const std::vector<lengths_and_spec> all = {
      {1, 1, {.rows = 4, .keys = 4}},
      {90, 90, {.rows = 8, .keys = 16, .top = 3}},
      {90, 90, {.rows = 16, .keys = 8, .top = 4, .sinks = 2, .causal = false}},
      {30, 75, {.rows = 7, .keys = 5, .mass = 0.6, .sinks = 0}},
      {75, 30, {.rows = 8, .keys = 8, .top = 2}},
      {64, 64, {.rows = 8, .keys = 8, .mass = 1}},
      {61, 61, {.rows = 20, .keys = 6, .top = 1, .sinks = 2}},
      {61, 64, {.rows = 8, .keys = 8, .top = 1, .sinks = 0}},
      {61, 64, {.rows = 8, .keys = 8, .top = 2, .sinks = 99, .causal = false}},
      {5, 0, {.rows = 2, .keys = 2}},
      {0, 5, {.rows = 2, .keys = 2}}};
  return all;
}

reference::matrix scores(const block_topk& x, const reference::matrix& q,
                         const reference::matrix& k) {
  namespace r = reference::select;
  const double scale = 1 / std::sqrt(double(q.cols()));
  if (x.summary == block_summary::antidiagonal)
    return scale * r::antidiagonals(q, k, x.rows, x.keys, x.stride);
  if (x.summary == block_summary::max)
    return scale * r::block_maxima(q, x.rows) * r::block_maxima(k, x.keys).transpose();
  return scale * r::block_means(q, x.rows) * r::block_means(k, x.keys).transpose();
}

}  // namespace

TEST_CASE("Blocks are chosen as their definition says") {
  const auto kinds = {block_summary::mean, block_summary::max, block_summary::antidiagonal};
  for (lengths_and_spec x : cases())
    for (const block_summary kind : kinds) {
      x.spec.summary = kind, x.spec.stride = 4;
      const auto q = random<double>({2, 4, x.lq, 19}, 1), k = random<double>({2, 2, x.lk, 19}, 2);
      const block_selection chosen = select_block_topk(x.spec, q.in(), k.in(), shuffled{});
      chosen.lists().check("lists", {.batch = 2, .heads = 4, .queries = x.lq, .keys = x.lk});
      for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 4; ++h) {
          const reference::matrix one = q.head(b, h), other = k.head(b, h / 2);
          const auto& s = x.spec;
          const allowed want = reference::select::choose_blocks(
              scores(s, one, other), {s.rows, s.keys, s.top, s.mass, s.sinks, s.causal}, x.lq,
              x.lk);
          for (index a = 0; a < want.rows(); ++a) {
            std::vector<int> blocks;
            for (index n = 0; n < want.cols(); ++n)
              if (want(a, n)) blocks.push_back(int(n));
            const auto got = chosen.lists()(b, h, a);
            CAPTURE(int(kind), x.lq, x.lk, s.mass, b, h, a);
            CHECK(std::vector<int>(got.begin(), got.end()) == blocks);
          }
        }
    }
}

TEST_CASE("Every block chosen is dense attention") {
  const auto q = uniform({1, 4, 150, 20}, 1), k = uniform({1, 2, 150, 20}, 2),
             v = uniform({1, 2, 150, 9}, 3);
  for (const bool causal_blocks : {true, false})
    for (const index top : {3, 100}) {
      const block_selection chosen = select_block_topk(
          {.rows = 32, .keys = 16, .top = top, .causal = causal_blocks}, q.in(), k.in());
      const auto inside =
          causal_blocks ? reference::mask::causal(150, 150) : reference::mask::full(150, 150);
      const auto truth = [&](index b, index h) {
        return top == 100 ? allowed(inside)
                          : reference::plan::selected(chosen.lists(), b, h, inside);
      };
      if (causal_blocks)
        check_result_of_heads(
            attended(attention{.mask = selected{chosen.lists(), causal{}}}, q, k, v), q, k, v,
            truth);
      else
        check_result_of_heads(attended(attention{.mask = selected{chosen.lists()}}, q, k, v), q, k,
                              v, truth);
    }
}

TEST_CASE("Sinks and blocks of their own are kept where they are more than the largest") {
  const auto q = uniform({1, 1, 61, 4}, 1), k = uniform({1, 1, 64, 4}, 2);
  const block_selection chosen =
      select_block_topk({.rows = 16, .keys = 8, .top = 1, .sinks = 1}, q.in(), k.in());
  for (index a = 0; a < 4; ++a) {
    const index first = 16 * a + 3, last = std::min<index>(16 * a + 15, 60) + 3;
    std::vector<int> want{0};
    for (index b = std::max<index>(1, first / 8); b <= last / 8; ++b) want.push_back(int(b));
    const auto got = chosen.lists()(0, 0, a);
    CHECK(std::vector<int>(got.begin(), got.end()) == want);
  }
}

TEST_CASE("The whole mass is every block, however small its share") {
  const auto q = uniform({1, 1, 64, 4}, 1);
  tensor<> k({1, 1, 64, 4}, 0.f);
  for (index c = 0; c < 4; ++c)
    for (index i = 0; i < 64; ++i) k.in()(0, 0, i, c) = 1e3f * float(i % 7);
  const block_selection chosen = select_block_topk(
      {.rows = 8, .keys = 8, .mass = 1, .sinks = 0, .causal = false}, q.in(), k.in());
  CHECK(chosen.blocks.size() == 64);
}

TEST_CASE("Equal scores of blocks go to the lower block") {
  const tensor<> q({1, 1, 32, 4}, 1.f), k({1, 1, 32, 4}, 1.f);
  const block_selection chosen = select_block_topk(
      {.rows = 4, .keys = 4, .top = 3, .sinks = 0, .causal = false}, q.in(), k.in());
  for (index a = 0; a < 8; ++a) {
    const auto got = chosen.lists()(0, 0, a);
    const std::vector<int> want =
        a < 2 ? std::vector<int>{0, 1, 2} : std::vector<int>{0, 1, int(a)};
    CHECK(std::vector<int>(got.begin(), got.end()) == want);
  }
}

TEST_CASE("Choices of blocks refuse what they cannot cut") {
  const auto q = uniform({1, 2, 4, 3}, 1), k = uniform({1, 2, 4, 3}, 2);
  const auto refuse = [&](const block_topk& spec, const char* what) {
    CHECK_THROWS_WITH(select_block_topk(spec, q.in(), k.in()),
                      ContainsSubstring("heed::select_block_topk") && ContainsSubstring(what));
  };
  refuse({.rows = 0}, "rows");
  refuse({.keys = -1}, "keys");
  refuse({.top = 0}, "top");
  refuse({.mass = 1.5}, "mass");
  refuse({.sinks = -1}, "sinks");
  refuse({.summary = block_summary::antidiagonal, .stride = index{1} << 62}, "stride");
}

TEST_CASE("Blocks of any size are one block, and sinks of any number are every block") {
  constexpr index huge = std::numeric_limits<index>::max();
  const auto q = random<float>({1, 1, 9, 4}, 1);
  const problem_shape shape{.batch = 1, .heads = 1, .queries = 9, .keys = 9};
  const auto one = select_block_topk({.rows = huge, .keys = huge}, q.in(), q.in());
  one.lists().check("lists", shape);
  CHECK(one.blocks == std::vector<int>{0});
  const auto all = select_block_topk(
      {.rows = 9, .keys = 3, .top = 1, .sinks = huge, .causal = false}, q.in(), q.in());
  CHECK(all.blocks == std::vector<int>{0, 1, 2});
}

}  // namespace heed::test
