// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/reused_heads.hpp>
#include <heed/kv/reused_layers.hpp>
#include <heed/kv/selected.hpp>
#include <heed/observe/rows.hpp>
#include <heed/reference/kv/keep.hpp>

#include "support/on_source.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr kv_shape shape{.batch = 2, .heads = 2, .depth = 13, .value_depth = 5};
const std::vector<index> newest{0};

template <class Cache> void fill(Cache& cache, index b, index n, unsigned stream) {
  const auto k = random<float>({1, 2, n, 13}, stream), v = random<float>({1, 2, n, 5}, stream + 1);
  cache.append(b, k.in(), v.in());
}
std::vector<index> of(const block_lists& lists, index i) {
  const auto list = lists.list(i);
  return {list.begin(), list.end()};
}
void check_rows(const tensor<float>& out, const cached_result& want) {
  for (index b = 0; b < out.extent[0]; ++b)
    for (index h = 0; h < out.extent[1]; ++h)
      check_close(out.head(b, h), want.out.head(b, h), tolerance<float>(8, 100, 8), "row");
}

// Multiples of 1/4: sums are exact and there are many ties; here and there NaN.
tensor<float> masses(index h, index n, unsigned stream) {
  tensor<float> m({2, h, n, 1});
  std::mt19937 bits(seed() + stream);
  for (float& x : m.data)
    x = bits() % 23 == 0 ? std::numeric_limits<float>::quiet_NaN() : float(bits() % 5) / 4;
  return m;
}

}  // namespace

TEST_CASE("layers take over the list of the last full layer, of this step alone") {
  reused_layers policy(3, {1, 0, 1, 0}, 2, 2);
  contiguous_kv cache(shape, 60);
  fill(cache, 0, 20, 1), fill(cache, 1, 30, 3);
  CHECK_THROWS_WITH(policy.lists(1, cache), ContainsSubstring("layer 0 must be taken"));
  const auto below = masses(4, 40, 6), above = masses(4, 40, 7);
  const auto largest = [&](const tensor<float>& mass, index i) {
    return reference::kv::largest((mass.head(i / 2, i % 2 * 2) + mass.head(i / 2, i % 2 * 2 + 1))
                                      .topRows(cache.length(i / 2))
                                      .col(0),
                                  3, 0);
  };
  policy.take(0, below.in(), cache);
  for (index i = 0; i < 4; ++i) CHECK(of(policy.lists(1, cache), i) == largest(below, i));
  CHECK_THROWS_WITH(policy.lists(3, cache), ContainsSubstring("layer 2 must be taken"));
  policy.take(2, above.in(), cache);
  for (index i = 0; i < 4; ++i) CHECK(of(policy.lists(3, cache), i) == largest(above, i));
  CHECK_THROWS_WITH(policy.lists(1, cache), ContainsSubstring("layer 0"));
  CHECK_THROWS_WITH(policy.take(1, below.in(), cache), ContainsSubstring("not full"));
  fill(cache, 0, 1, 8);
  CHECK_THROWS_WITH(policy.lists(3, cache), ContainsSubstring("layer 2"));
  CHECK_THROWS_WITH(policy.full(4), ContainsSubstring("no 4"));
}

TEST_CASE("heads of two kinds cover a layer, and with everything they are full decoding") {
  const std::vector<char> kinds{1, 1, 0, 1, 1, 0};
  reused_heads policy(100, kinds, 3, 2, 2);
  contiguous_kv cache(shape, 60);
  fill(cache, 0, 20, 1), fill(cache, 1, 30, 3);
  for (index layer = 0; layer < 3; ++layer) {
    const auto q = random<float>({2, 6, 1, 13}, 10 + unsigned(layer));
    auto out = unwritten<float>({2, 6, 1, 5});
    index runs = 0;
    policy.each_run(layer, [&](const span& heads, bool full) {
      ++runs;
      const head_range some(cache, heads);
      const auto q_some = heads_of(q.in(), heads, 3);
      const auto out_some = heads_of(out.in(), heads, 3);
      if (full) {
        auto weights = unwritten<float>({2, heads.size() * 3, 1, 30});
        rows seen(newest, weights.in());
        attend(attention{}, q_some, some, {.out = out_some, .observe = &seen});
        policy.take(layer, heads, one_row(weights.in()), cache);
      } else {
        const selected_source few(some, policy.lists(layer, heads, cache));
        attend(attention{}, q_some, few, out_some);
      }
    });
    CHECK(runs == (layer == 0 ? 1 : 2));
    check_rows(out, reference_on(attention{}, q.in(), cache));
  }
}

TEST_CASE("policies of reuse refuse what does not fit") {
  contiguous_kv cache(shape, 60), other({3, 2, 13, 5}, 10);
  fill(cache, 0, 20, 1), fill(cache, 1, 30, 3);
  const auto mass = masses(4, 30, 7), brief = masses(4, 29, 7), uneven = masses(3, 30, 8);
  CHECK_THROWS_WITH(reused_layers(0, {1}, 2, 2), ContainsSubstring("positive"));
  reused_layers layers(4, {1, 0}, 2, 2);
  CHECK_THROWS_WITH(layers.take(0, mass.in(), other), ContainsSubstring("2 sequences"));
  CHECK_THROWS_WITH(layers.take(0, brief.in(), cache), ContainsSubstring("at least 30"));
  CHECK_THROWS_WITH(layers.take(0, uneven.in(), cache), ContainsSubstring("multiple of 2"));
  CHECK_THROWS_WITH(layers.lists(1, cache), ContainsSubstring("layer 0"));
  CHECK_THROWS_WITH(reused_layers(4, {0, 1}, 2, 2), ContainsSubstring("layer 0"));
  CHECK_THROWS_WITH(reused_heads(4, {1, 1, 1}, 2, 2, 2), ContainsSubstring("kind"));
  CHECK_THROWS_WITH(reused_layers(4, {1}, index{1} << 32, index{1} << 32),
                    ContainsSubstring("too many"));
  CHECK_THROWS_WITH(reused_heads(4, {1, 0, 1, 1}, 2, 2, 2), ContainsSubstring("head 1"));
  reused_heads heads(4, {1, 1, 0, 1, 0, 0}, 3, 2, 2);
  CHECK_THROWS_WITH(heads.take(1, {0, 2}, mass.in(), cache), ContainsSubstring("layer 1 head 0"));
  heads.take(0, {0, 2}, mass.in(), cache);
  CHECK_THROWS_WITH(heads.lists(2, {0, 2}, cache), ContainsSubstring("layer 1 head 1"));
  CHECK_THROWS_WITH(heads.lists(1, {2, 3}, cache), ContainsSubstring("head 2"));
  CHECK_THROWS_WITH(head_range(cache, {1, 3}), ContainsSubstring("1 to 3"));
}

TEST_CASE("a budget of any size lists every token") {
  reused_layers policy(std::numeric_limits<index>::max(), {1, 0}, 2, 2);
  contiguous_kv cache(shape, 60);
  fill(cache, 0, 3, 1), fill(cache, 1, 40, 3);
  const auto mass = masses(2, 40, 5);
  policy.take(0, mass.in(), cache);
  CHECK(of(policy.lists(1, cache), 0) == std::vector<index>{0, 1, 2});
  CHECK(of(policy.lists(1, cache), 3).size() == 40);
}

}  // namespace heed::test
