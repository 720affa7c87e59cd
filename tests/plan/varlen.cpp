// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/any_mask.hpp>
#include <heed/mask/block_map.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/prefix.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/mask/prefix.hpp>
#include <heed/reference/mask/window.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// Rows [first, first + count) of x as a tensor of its own.
tensor<> cut(const tensor<>& x, index first, index count) {
  tensor<> part({x.extent[0], x.extent[1], count, x.extent[3]}, 0.f);
  for (index h = 0; h < x.extent[1]; ++h)
    for (index i = 0; i < count; ++i)
      for (index c = 0; c < x.extent[3]; ++c) part.in()(0, h, i, c) = x.in()(0, h, first + i, c);
  return part;
}
struct piece {
  tensor<> out, lse;
};

using cu = std::vector<int>;

// Each sequence against the reference of its own pairs, truth(i, queries, keys).
template <class M, class Truth>
void check_varlen(const M& m, const cu& of_q, const cu& of_k, Truth truth) {
  const auto q = uniform({1, 4, of_q.back(), 6}, 1), k = uniform({1, 2, of_k.back(), 6}, 2),
             v = uniform({1, 2, of_k.back(), 5}, 3);
  const attended x(attention{.mask = m, .plan = varlen{of_q, of_k}}, q, k, v);
  for (std::size_t i = 0; i + 1 < of_q.size(); ++i) {
    const index row = of_q[i], rows = of_q[i + 1] - row, slot = of_k[i], keys = of_k[i + 1] - slot;
    check_result(piece{cut(x.out, row, rows), cut(x.lse, row, rows)}, cut(q, row, rows),
                 cut(k, slot, keys), cut(v, slot, keys),
                 [&](index) { return truth(index(i), rows, keys); });
  }
}

const std::vector<std::pair<cu, cu>>& batches() {
  static const std::vector<std::pair<cu, cu>> all = {
      {{0, 3}, {0, 3}},
      {{0, 2, 3}, {0, 3, 5}},
      {{0, 0, 30, 31, 31, 131}, {0, 4, 34, 34, 300, 600}},
      {{0, 25, 49, 73}, {0, 7, 31, 31}},
      {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 100, 101, 103, 400, 700, 701, 702}},
  };
  return all;
}

}  // namespace

TEST_CASE("varlen: each sequence attends itself") {
  for (const auto& [of_q, of_k] : batches())
    check_varlen(full{}, of_q, of_k,
                 [](index, index lq, index lk) { return reference::mask::full(lq, lk); });
}

TEST_CASE("varlen: causal is bottom-right in each sequence") {
  for (const auto& [of_q, of_k] : batches())
    check_varlen(causal{}, of_q, of_k,
                 [](index, index lq, index lk) { return reference::mask::causal(lq, lk); });
}

TEST_CASE("varlen: masks see positions of their sequence, and its number") {
  for (const auto& [of_q, of_k] : batches()) {
    std::vector<int> count;
    for (std::size_t i = 0; i + 1 < of_q.size(); ++i) count.push_back(int(i * 5));
    const auto want_window = [](index, index lq, index lk) {
      return reference::mask::window(lq, lk, 3, 0);
    };
    const auto want_prefix = [&](index i, index lq, index lk) {
      return reference::mask::prefix(lq, lk, count[std::size_t(i)]);
    };
    check_varlen(any_mask(window{.left = 3}), of_q, of_k, want_window);
    check_varlen(any_mask(prefix{count}), of_q, of_k, want_prefix);
  }
}

TEST_CASE("varlen: keys are cut as queries are where only those are given") {
  const cu both = {0, 5, 5, 64};
  const auto q = uniform({1, 1, 64, 4}, 1), k = uniform({1, 1, 64, 4}, 2),
             v = uniform({1, 1, 64, 4}, 3);
  const attended one(attention{.mask = causal{}, .plan = varlen{both, both}}, q, k, v);
  const attended two(attention{.mask = causal{}, .plan = varlen{both}}, q, k, v);
  CHECK(one.out.data == two.out.data);
}

TEST_CASE("varlen: the longest sequences") {
  const cu q = {0, 5, 5, 64}, k = {0, 70, 71, 71};
  CHECK(varlen{q, k}.longest_queries() == 59);
  CHECK(varlen{q, k}.longest_keys() == 70);
  CHECK(varlen{q, k}.sequences() == 3);
}

TEST_CASE("varlen refuses offsets that do not fit") {
  const problem_shape shape{.batch = 1, .queries = 4, .keys = 6};
  const cu q = {0, 1, 4}, k = {0, 3, 6}, late = {1, 2, 4}, falls = {0, 5, 4}, early = {0, 1, 3},
           longer = {0, 1, 2, 6};
  const auto checked = [&](const cu& of_q, const cu& of_k) { varlen{of_q, of_k}.check(shape); };
  CHECK_NOTHROW(checked(q, k));
  CHECK_THROWS_WITH(checked(late, k), ContainsSubstring("heed::varlen: cu_q must start at 0: 1"));
  CHECK_THROWS_WITH(checked(falls, k), ContainsSubstring("cu_q[2] = 4 after 5"));
  CHECK_THROWS_WITH(checked(early, k),
                    ContainsSubstring("cu_q") && ContainsSubstring("ends at 3, there are 4"));
  CHECK_THROWS_WITH(checked(q, early),
                    ContainsSubstring("cu_k") && ContainsSubstring("ends at 3, there are 6"));
  CHECK_THROWS_WITH(checked(q, longer), ContainsSubstring("one size: 3 and 4"));
  CHECK_THROWS_WITH(checked(q, {}), ContainsSubstring("used for the keys"));
  CHECK_THROWS_WITH(checked({}, k), ContainsSubstring("cu_q") && ContainsSubstring("empty"));
  CHECK_THROWS_WITH((varlen{q, k}).check({.batch = 2, .queries = 4, .keys = 6}),
                    ContainsSubstring("batch of 1: 2"));
  std::vector<float> x(4);
  const view<float> four{x.data(), {1, 1, 4, 1}};
  CHECK_THROWS_WITH(attend(attention{.plan = varlen{early}}, four, four, four, four),
                    ContainsSubstring("heed::varlen"));
  // A map of pairs of whole tensors, at the root of a mask and below it.
  const std::vector<int> whole{0, 1, 4};
  const block_map map(causal{}, {.batch = 1, .heads = 1, .queries = 4, .keys = 4}, block_size{});
  const auto refused = [&](const auto& mask) {
    CHECK_THROWS_WITH(
        attend(attention{.mask = mask, .plan = varlen{whole}}, four, four, four, four),
        ContainsSubstring("heed::block_map") && ContainsSubstring("packed"));
  };
  refused(map), refused(map && window{2});
}

}  // namespace heed::test
