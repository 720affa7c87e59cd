// SPDX-License-Identifier: BSL-1.0
// Keys and values that no query head reads: nothing to compute, and gradients of zero.
#include <heed/attention/attend_backward.hpp>
#include <heed/mask/causal.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/plan/selected.hpp>

#include "support/catch.hpp"

namespace heed::test {

namespace {

constexpr index tokens = 16, heads = 2, depth = 3;

template <class Mask> void check(const Mask& mask) {
  const std::vector<double> ones(static_cast<std::size_t>(heads * tokens * depth), 1.0);
  std::vector<double> dk(ones.size(), std::nan("")), dv = dk;
  double nothing = 0;
  const extents none{1, 0, tokens, depth}, kv{1, heads, tokens, depth};
  const view<const double> q(&nothing, none), k(ones.data(), kv);
  const view<double> out(&nothing, none);
  const attention spec{.mask = mask};
  attend(spec, q, k, k, out);
  attend_backward(
      spec, q, k, k, {}, view<const double>(out),
      {.dq = out, .dk = view<double>(dk.data(), kv), .dv = view<double>(dv.data(), kv)});
  CHECK(std::all_of(dk.begin(), dk.end(), [](double x) { return x == 0; }));
  CHECK(std::all_of(dv.begin(), dv.end(), [](double x) { return x == 0; }));
}

}  // namespace

TEST_CASE("no query heads in the tile loop") { check(causal{}); }

TEST_CASE("no query heads but lists") {
  std::vector<index> offsets;
  std::vector<int> blocks;
  for (index row = 0; row <= tokens; ++row) offsets.push_back(row);
  for (index row = 0; row < tokens; ++row) blocks.push_back(0);
  for (const index keys : {index{1}, tokens})
    check(selected{block_lists{.offsets = offsets, .blocks = blocks, .rows = 1, .keys = keys}});
}

TEST_CASE("no query heads on a grid") {
  check(neighborhood<2>{{4, 4}, {3, 3}});
  check(neighborhood<2>{{4, 4}, {2, 2}, {2, 2}});
}

}  // namespace heed::test
