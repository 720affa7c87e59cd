// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>
#include <heed/kv/contiguous.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 3, .heads = 2, .depth = 5, .value_depth = 3};

}  // namespace

TEST_CASE("tokens are read back as they were appended") {
  contiguous_kv cache(small, 40);
  model m(3);
  check_cache(cache, m);
  append(cache, m, chunk<float>(cache, 7, 1));
  check_cache(cache, m);
  append(cache, m, 1, chunk<float>(cache, 12, 2, 1));
  append(cache, m, chunk<float>(cache, 0, 3));
  append(cache, m, chunk<float>(cache, 21, 4));
  check_cache(cache, m);
  CHECK(cache.length(1) == 40);
  CHECK(cache.run(0, 1, 3).count == 25);
  CHECK(cache.run(0, 1, 3).k.plain(kv_type::f32));
}

TEST_CASE("layouts and element types are converted, both ways") {
  const auto k = uniform<double>({3, 2, 6, 5}, 1), v = uniform<double>({3, 2, 6, 3}, 2);
  // [B,L,H,D] in memory.
  std::vector<double> turned(k.data.size());
  const view<double> as_blhd(turned.data(), {3, 2, 6, 5}, {60, 5, 10, 1});
  for (index b = 0; b < 3; ++b)
    for (index h = 0; h < 2; ++h)
      for (index l = 0; l < 6; ++l)
        for (index d = 0; d < 5; ++d) as_blhd(b, h, l, d) = k.in()(b, h, l, d);
  contiguous_kv exact(small, 6, kv_format{.type = kv_type::f64}), rounded(small, 6);
  exact.append(as_blhd, v.in()), rounded.append(as_blhd, v.in());
  model m(3), in_float(3);
  for (index b = 0; b < 3; ++b) {
    const auto at = static_cast<std::size_t>(b);
    m[at].append(rows_of(k, b), rows_of(v, b));
    auto kf = rows_of(k, b), vf = rows_of(v, b);
    for (auto* all : {&kf, &vf})
      for (auto& x : *all) x = x.cast<float>().cast<double>();
    in_float[at].append(kf, vf);
  }
  check_cache(exact, m);
  check_cache(rounded, in_float);
}

TEST_CASE("a sequence can be cut, copied and started anew") {
  contiguous_kv cache(small, 30);
  model m(3);
  append(cache, m, chunk<float>(cache, 20, 1));
  truncate(cache, m, 0, 11);
  fork(cache, m, 0, 2, 11);
  fork(cache, m, 1, 0, 4);
  append(cache, m, chunk<float>(cache, 5, 2));
  check_cache(cache, m);
  fork(cache, m, 1, 1, 3);
  truncate(cache, m, 2, 0);
  append(cache, m, chunk<float>(cache, 9, 3));
  check_cache(cache, m);
  cache.fork(0, 1);
  m[1] = m[0];
  check_cache(cache, m);
}

TEST_CASE("evicted tokens leave the positions of the others alone") {
  contiguous_kv cache(small, 30);
  model m(3);
  append(cache, m, chunk<float>(cache, 20, 1));
  evict(cache, m, 0, {{0, 1, 5, 19}, {2, 3, 4, 6}});
  check_cache(cache, m);
  CHECK(cache.places(0, 0) != nullptr);
  CHECK(cache.places(1, 0) == nullptr);
  append(cache, m, chunk<float>(cache, 6, 2));
  CHECK(cache.end(0) == 26);
  evict(cache, m, 0, {{0, 3, 9}, {1, 2, 9}});
  fork(cache, m, 0, 2, 3);
  append(cache, m, 0, chunk<float>(cache, 4, 3, 1));
  check_cache(cache, m);
  truncate(cache, m, 0, 4);
  CHECK(cache.end(0) == 27);
  truncate(cache, m, 0, 2);
  check_cache(cache, m);
  truncate(cache, m, 0, 0);
  append(cache, m, 0, chunk<float>(cache, 2, 4, 1));
  check_cache(cache, m);
  CHECK(cache.places(0, 0) == nullptr);
  const std::vector<index> keep{1, 4};
  cache.evict(1, keep);
  m[1].evict({keep, keep});
  check_cache(cache, m);
  cache.evict(1, kept_tokens{{0, 0, 1, 0}, 2, 0});
  m[1].evict({{}, {}});
  check_cache(cache, m);
  append(cache, m, 1, chunk<float>(cache, 3, 5, 1));
  cache.evict(1, kept_tokens{{0, 2, 1, 2}, 2, 2});
  m[1].evict({{0, 2}, {1, 2}});
  check_cache(cache, m);
  evict(cache, m, 2, {{}, {}});
  CHECK(cache.length(2) == 0);
  CHECK(cache.end(2) == 26);
}

TEST_CASE("the caller's tensors hold a cache in place") {
  auto k = uniform<float>({2, 3, 8, 4}, 1), v = uniform<float>({2, 3, 8, 2}, 2);
  // Heads outermost, channels two apart.
  std::vector<float> memory(2 * 3 * 8 * 4 * 2);
  const view<float> apart(memory.data(), {2, 3, 8, 4}, {64, 128, 8, 2});
  contiguous_kv cache(apart, v.in());
  model m(2);
  append(cache, m, chunk<float>(cache, 5, 3));
  check_cache(cache, m);
  CHECK(apart(1, 2, 4, 3) == float(m[1].heads[2].k(4, 3)));
  fork(cache, m, 0, 1, 4);
  evict(cache, m, 0, {{1, 3}, {0, 4}, {2, 3}});
  check_cache(cache, m);
  contiguous_kv filled(k.in(), v.in(), 6);
  model of(2);
  for (index b = 0; b < 2; ++b) {
    of[std::size_t(b)].append(rows_of(k, b), rows_of(v, b));
    of[std::size_t(b)].truncate(6);
  }
  check_cache(filled, of);
}

TEST_CASE("what cannot be done leaves a contiguous cache as it was") {
  contiguous_kv cache(small, 10);
  model m(3);
  append(cache, m, chunk<float>(cache, 6, 1));
  append(cache, m, 2, chunk<float>(cache, 2, 2, 1));
  const auto refused = [&](const std::string& text, auto call) {
    check_refused(cache, m, text, call);
  };
  const chunk<float> three(cache, 3, 3), two(cache, 2, 4);
  refused("heed::contiguous_kv::append: sequence 2 has 8 of 10 tokens: no room for 3",
          [&] { cache.append(three.k.in(), three.v.in()); });
  const auto wrong = [&](const extents& k, const extents& v) {
    const auto x = uniform<float>(k, 1), y = uniform<float>(v, 2);
    refused("heed::contiguous_kv::append: k must be [3, Hkv, n, 5] and v [3, Hkv, the same n, 3]",
            [&] { cache.append(x.in(), y.in()); });
  };
  wrong({2, 2, 1, 5}, {2, 2, 1, 3});
  wrong({3, 1, 1, 5}, {3, 2, 1, 3});
  wrong({3, 2, 1, 4}, {3, 2, 1, 3});
  wrong({3, 2, 1, 5}, {3, 2, 1, 5});
  wrong({3, 2, 1, 5}, {3, 2, 2, 3});
  refused("[1, Hkv, n, 5]", [&] { cache.append(0, two.k.in(), two.v.in()); });
  refused("not without data", [&] {
    if (view<const float> none(nullptr, {3, 2, 1, 5}); true)
      cache.append(none, view<const float>(nullptr, {3, 2, 1, 3}));
  });
  const chunk<float> one(cache, 1, 5, 1);
  for (const index b : {-1, 3}) {
    refused("append: there are 3 sequences", [&] { cache.append(b, one.k.in(), one.v.in()); });
    refused("truncate: there are 3 sequences", [&] { cache.truncate(b, 0); });
    refused("fork: there are 3 sequences", [&] { cache.fork(b, 0); });
    refused("fork: there are 3 sequences", [&] { cache.fork(0, b); });
    refused("evict: there are 3 sequences", [&] { cache.evict(b, std::vector<index>{0}); });
  }
  refused("truncate: sequence 0 has 6 tokens, not 7", [&] { cache.truncate(0, 7); });
  refused("truncate: sequence 0 has 6 tokens, not -1", [&] { cache.truncate(0, -1); });
  refused("fork: sequence 1 has 6 tokens, not 8", [&] { cache.fork(1, 2, 8); });
  for (const std::vector<index>& keep :
       {std::vector<index>{1, 1}, {2, 1}, {-1}, {6}, {0, 1, 2, 3, 4, 5, 6}})
    refused("evict: kept tokens must ascend", [&] { cache.evict(0, keep); });
  const std::vector<index> six{0, 1, 2, 3, 4, 5};
  refused("evict: the kept tokens must be one list, or 2 lists",
          [&] { cache.evict(0, view<const index>(six.data(), {1, 3, 2, 1})); });
  refused("evict: the kept tokens must be one list, or 2 lists",
          [&] { cache.evict(0, kept_tokens{six, 3, 2}); });
  refused("evict: the kept tokens must be one list, or 2 lists",
          [&] { cache.evict(0, kept_tokens{{0, 1}, 2, 4}); });
}

TEST_CASE("a cache of nothing cannot be made") {
  const auto refused = [](const kv_shape& shape, index capacity, kv_format f = {}) {
    CHECK_THROWS_AS(contiguous_kv(shape, capacity, f), std::invalid_argument);
  };
  refused({0, 2, 5, 3}, 4), refused({3, 0, 5, 3}, 4), refused({3, 2, 0, 3}, 4);
  refused({3, 2, 5, -1}, 4), refused(small, 0), refused(small, -3);
  refused(small, 4, {.type = kv_type::f16, .group = 2});
  refused(small, 4, {.zero = true});
  auto k = uniform<float>({2, 3, 8, 4}, 1), v = uniform<float>({2, 3, 7, 2}, 2);
  CHECK_THROWS_WITH(contiguous_kv(k.in(), v.in()),
                    Catch::Matchers::ContainsSubstring("must agree"));
  CHECK_THROWS_AS(contiguous_kv(k.in(), result{}), std::invalid_argument);
  CHECK_THROWS_AS(contiguous_kv(k.in(), k.in(), 9), std::invalid_argument);
}

TEST_CASE("a cache whose bytes cannot be counted cannot be made") {
  constexpr index huge = std::numeric_limits<index>::max();
  const auto refused = [](const kv_shape& shape, index capacity, kv_format f = {}) {
    CHECK_THROWS_WITH(contiguous_kv(shape, capacity, f),
                      Catch::Matchers::ContainsSubstring("too many"));
  };
  refused(small, huge), refused(small, index{1} << 62), refused({1, 1, 1, 0}, index{1} << 61);
  refused({1, 1, index{1} << 62, 4}, 4), refused({1, index{1} << 32, index{1} << 32, 4}, 4);
  refused({1, 1, huge, huge}, 4);
  refused(small, huge, kv_format{.type = kv_type::i8}.per_channel());
  refused({1, 1, huge / 64, 0}, 1, kv_format{.type = kv_type::i4}.per_channel());
}

}  // namespace heed::test
