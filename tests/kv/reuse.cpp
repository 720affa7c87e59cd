// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/head_range.hpp>
#include <heed/kv/reuse.hpp>
#include <heed/kv/selected.hpp>
#include <heed/mask/causal.hpp>
#include <heed/observe/rows.hpp>

#include "support/on_source.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr kv_shape shape{.batch = 2, .heads = 2, .depth = 8, .value_depth = 6};

void append(contiguous_kv& cache, index b, index n, unsigned stream) {
  const auto k = random<float>({1, 2, n, 8}, stream), v = random<float>({1, 2, n, 6}, stream + 1);
  cache.append(b, k.in(), v.in());
}
std::vector<int> list_of(const recycled_tokens& x, index i) {
  const auto list = x.lists().list(i);
  return {list.begin(), list.end()};
}

}  // namespace

TEST_CASE("Recycled tokens are the heaviest, those that came since, and nothing else") {
  contiguous_kv cache(shape, 60);
  append(cache, 0, 30, 1), append(cache, 1, 21, 3);
  recycled_tokens heavy({.top = 5, .every = 4});
  const auto q = random<float>({2, 4, 1, 8}, 7);
  CHECK(heavy.full(q.in()));
  tensor<float> weights({2, 4, 1, 30}), out({2, 4, 1, 6});
  const std::vector<index> newest{0};
  rows last(newest, weights.in());
  const attention spec{.mask = causal{}};
  attend(spec, q.in(), cache, {.out = out.in(), .observe = &last});
  heavy.record(q.in(), weights.in(), cache);
  std::vector<std::vector<int>> want;
  for (index i = 0; i < 4; ++i) {
    const index b = i / 2, h = i % 2, length = cache.length(b);
    std::vector<int> order(static_cast<std::size_t>(length));
    const auto weight = [&](int j) {
      return double(weights(b, 2 * h, 0, j)) + double(weights(b, 2 * h + 1, 0, j));
    };
    for (int j = 0; j < length; ++j) order[static_cast<std::size_t>(j)] = j;
    std::stable_sort(order.begin(), order.end(),
                     [&](int x, int y) { return weight(x) > weight(y); });
    order.resize(5);
    std::vector<int> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    CHECK(list_of(heavy, i) == sorted);
    // Two more tokens: the two lightest leave.
    order.resize(3), order.push_back(int(length)), order.push_back(int(length) + 1);
    std::sort(order.begin(), order.end());
    want.push_back(order);
  }
  for (const unsigned step : {1u, 2u}) {
    append(cache, 0, 1, 10 + step), append(cache, 1, 1, 20 + step);
    heavy.append(cache);
    CHECK_FALSE(heavy.full(q.in()));
  }
  for (index i = 0; i < 4; ++i) CHECK(list_of(heavy, i) == want[std::size_t(i)]);
  const selected_source some(cache, heavy.lists());
  attend(spec, q.in(), some, out.in());
  const cached_result expected = reference_on(spec, q.in(), some);
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 4; ++h)
      check_close(out.head(b, h), expected.out.head(b, h), tolerance<float>(8, 8, 4), "row");
  append(cache, 0, 1, 30), append(cache, 1, 1, 31);
  heavy.append(cache);
  CHECK_FALSE(heavy.full(q.in()));
  append(cache, 0, 1, 40), append(cache, 1, 1, 41);
  heavy.append(cache);
  CHECK(heavy.full(q.in()));  // the fourth step after the first
}

TEST_CASE("A query that turned away asks for a full step") {
  contiguous_kv cache(shape, 20);
  append(cache, 0, 9, 1), append(cache, 1, 9, 3);
  recycled_tokens heavy({.top = 100, .every = 100, .cosine = 0.8});
  auto q = random<float>({2, 4, 1, 8}, 7);
  const tensor<float> weights({2, 4, 1, 9}, 0.25f);
  heavy.record(q.in(), weights.in(), cache);
  CHECK(list_of(heavy, 3).size() == 9);  // everything there is
  CHECK_FALSE(heavy.full(q.in()));
  for (float& x : q.data) x *= 3;
  CHECK_FALSE(heavy.full(q.in()));
  for (index c = 0; c < 8; ++c) q(1, 2, 0, c) *= -1;
  CHECK(heavy.full(q.in()));
}

TEST_CASE("Recycling refuses what does not fit") {
  CHECK_THROWS_WITH(recycled_tokens({.top = 0}), ContainsSubstring("top"));
  contiguous_kv cache(shape, 20);
  append(cache, 0, 9, 1), append(cache, 1, 9, 3);
  recycled_tokens heavy({.top = 3});
  const auto q = random<float>({2, 4, 1, 8}, 7);
  const tensor<float> few({2, 4, 1, 5}, 0.f), odd({2, 3, 1, 9}, 0.f);
  CHECK_THROWS_WITH(heavy.record(q.in(), few.in(), cache), ContainsSubstring("9 tokens"));
  CHECK_THROWS_WITH(heavy.record(q.in(), odd.in(), cache), ContainsSubstring("[B,H,1,Lk]"));
  const auto two = random<float>({2, 4, 2, 8}, 7);
  const tensor<float> enough({2, 4, 1, 9}, 0.f);
  const view<const float> absent(nullptr, {2, 4, 1, 8}), unweighed(nullptr, {2, 4, 1, 9});
  CHECK_THROWS_WITH(heavy.record(q.in(), unweighed, cache), ContainsSubstring("null"));
  CHECK_THROWS_WITH(heavy.record(absent, enough.in(), cache), ContainsSubstring("null"));
  CHECK_THROWS_WITH(heavy.full(absent), ContainsSubstring("null"));
  CHECK_THROWS_WITH(heavy.full(two.in()), ContainsSubstring("[B,H,1,D]"));
}

TEST_CASE("Weights that are NaN are the least, and heads keep lists of one length") {
  contiguous_kv cache(shape, 20);
  append(cache, 0, 9, 1), append(cache, 1, 9, 3);
  recycled_tokens heavy({.top = 3});
  const auto q = random<float>({2, 4, 1, 8}, 7);
  tensor<float> weights({2, 4, 1, 9}, 0.f);
  for (index j = 0; j < 7; ++j) weights(0, 0, 0, j) = std::numeric_limits<float>::quiet_NaN();
  heavy.record(q.in(), weights.in(), cache);
  CHECK(list_of(heavy, 0) == std::vector<int>{0, 7, 8});
  CHECK(list_of(heavy, 1) == std::vector<int>{0, 1, 2});
  CHECK_NOTHROW(selected_source(cache, heavy.lists()));
}

TEST_CASE("Recycling keeps its lists where a step is refused, and takes any number of tokens") {
  contiguous_kv cache(shape, 60);
  append(cache, 0, 30, 1), append(cache, 1, 21, 3);
  recycled_tokens heavy({.top = std::numeric_limits<index>::max()});
  const auto q = random<float>({2, 4, 1, 8}, 7), weights = random<float>({2, 4, 1, 30}, 8),
             few = random<float>({2, 4, 1, 29}, 9);
  heavy.record(q.in(), weights.in(), cache);
  CHECK(list_of(heavy, 0).size() == 30);
  CHECK_THROWS_WITH(heavy.record(q.in(), few.in(), cache), ContainsSubstring("29 of the 30"));
  append(cache, 0, 1, 11);
  heavy.append(cache);
  CHECK(list_of(heavy, 0).size() == 31);
  CHECK(list_of(heavy, 3).size() == 21);
}

TEST_CASE("Recycling without kv heads has nothing to record") {
  contiguous_kv cache(shape, 60);
  append(cache, 0, 30, 1), append(cache, 1, 21, 3);
  recycled_tokens heavy({.top = 5});
  const auto q = random<float>({2, 0, 1, 8}, 7), weights = random<float>({2, 0, 1, 30}, 8);
  CHECK_NOTHROW(heavy.record(q.in(), weights.in(), head_range(cache, {1, 1})));
}

}  // namespace heed::test
