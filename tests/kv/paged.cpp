// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/paged.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 3, .heads = 2, .depth = 5, .value_depth = 3};

}  // namespace

TEST_CASE("tokens are read back as they were appended, for any page") {
  for (const index page : {1, 3, 4, 16, 64}) {
    paged_kv cache(small, {.pages = 3 * ((40 + page - 1) / page), .page = page});
    model m(3);
    check_cache(cache, m);
    append(cache, m, chunk<float>(cache, 7, 1));
    append(cache, m, 1, chunk<float>(cache, 12, 2, 1));
    append(cache, m, chunk<float>(cache, 0, 3));
    append(cache, m, chunk<float>(cache, 21, 4));
    check_cache(cache, m);
    CHECK(cache.run(0, 1, 3).count == std::min<index>(page - 3 % page, 25));
  }
}

TEST_CASE("forks share pages until one of them writes") {
  paged_kv cache(small, {.pages = 12, .page = 4, .table = 6});
  model m(3);
  append(cache, m, 0, chunk<float>(cache, 10, 1, 1));
  CHECK(cache.free_pages() == 9);
  fork(cache, m, 0, 1, 10);
  fork(cache, m, 0, 2, 6);
  CHECK(cache.free_pages() == 9);
  CHECK(cache.users(cache.page(0, 0)) == 3);
  CHECK(cache.users(cache.page(0, 2)) == 2);
  check_cache(cache, m);
  append(cache, m, 1, chunk<float>(cache, 1, 2, 1));  // into a shared page: a copy
  CHECK(cache.free_pages() == 8);
  CHECK(cache.page(0, 2) != cache.page(1, 2));
  CHECK(cache.page(0, 1) == cache.page(1, 1));
  check_cache(cache, m);
  append(cache, m, chunk<float>(cache, 3, 3));
  check_cache(cache, m);
  // 0 and 2 no longer share the page that 2 had half of.
  CHECK(cache.page(2, 1) != cache.page(0, 1));
  CHECK(cache.users(cache.page(0, 1)) == 2);
  truncate(cache, m, 0, 0);
  CHECK(cache.users(cache.page(1, 0)) == 2);
  check_cache(cache, m);
  cache.release(1), m[1].truncate(0);
  cache.release(2), m[2].truncate(0);
  CHECK(cache.free_pages() == 12);
  check_cache(cache, m);
}

TEST_CASE("the last user of a page writes in place") {
  paged_kv cache(small, {.pages = 5, .page = 4});
  model m(3);
  append(cache, m, 0, chunk<float>(cache, 6, 1, 1));
  fork(cache, m, 0, 1, 6);
  fork(cache, m, 0, 2, 6);
  CHECK(cache.free_pages() == 3);
  append(cache, m, chunk<float>(cache, 1, 2));  // two copies, one in place
  CHECK(cache.free_pages() == 1);
  append(cache, m, chunk<float>(cache, 1, 3));
  CHECK(cache.free_pages() == 1);
  check_cache(cache, m);
}

TEST_CASE("eviction leaves shared pages to the others") {
  paged_kv cache(small, {.pages = 12, .page = 4});
  model m(3);
  append(cache, m, 0, chunk<float>(cache, 15, 1, 1));
  fork(cache, m, 0, 1, 15);
  evict(cache, m, 1, {{0, 1, 2, 3, 5, 9, 10}, {0, 1, 2, 3, 4, 5, 14}});
  CHECK(cache.page(0, 0) == cache.page(1, 0));
  CHECK(cache.page(0, 1) != cache.page(1, 1));
  CHECK(cache.free_pages() == 7);
  check_cache(cache, m);
  append(cache, m, 1, chunk<float>(cache, 5, 2, 1));
  fork(cache, m, 1, 2, 12);
  append(cache, m, 2, chunk<float>(cache, 1, 2, 1));
  CHECK(cache.end(2) == 21);
  truncate(cache, m, 1, 8);
  check_cache(cache, m);
  evict(cache, m, 2, {{0, 1, 2}, {0, 1, 2}});
  check_cache(cache, m);
}

TEST_CASE("what cannot be done leaves a paged cache as it was") {
  paged_kv cache(small, {.pages = 7, .page = 4, .table = 3});
  model m(3);
  append(cache, m, chunk<float>(cache, 6, 1));
  const auto refused = [&](const std::string& text, auto call) {
    const index free = cache.free_pages();
    check_refused(cache, m, text, call);
    CHECK(cache.free_pages() == free);
  };
  const auto grow = [&](index n) {
    const chunk<float> c(cache, n, 3);
    cache.append(c.k.in(), c.v.in());
  };
  refused("heed::paged_kv::append: 3 pages are needed, 1 are free", [&] { grow(3); });
  refused("heed::paged_kv::append: sequence 0 has 6 of 12 tokens: no room for 7", [&] { grow(7); });
  refused("must be [1, Hkv, n, 5]", [&] {
    const chunk<float> c(cache, 1, 3);
    cache.append(0, c.k.in(), c.v.in());
  });
  append(cache, m, 0, chunk<float>(cache, 6, 4, 1));
  fork(cache, m, 0, 1, 7);
  fork(cache, m, 0, 2, 8);
  CHECK(cache.free_pages() == 4);
  append(cache, m, 0, chunk<float>(cache, 0, 4, 1));
  truncate(cache, m, 0, 7);
  append(cache, m, 2, chunk<float>(cache, 4, 5, 1));
  fork(cache, m, 2, 0, 12);
  CHECK(cache.free_pages() == 4);
  {
    const chunk<float> rest(cache, 5, 5, 1);
    cache.append(1, rest.k.in(), rest.v.in());
    m[1].append(rows_of(rest.k, 0), rows_of(rest.v, 0));
  }
  CHECK(cache.free_pages() == 2);
  paged_kv tight(small, {.pages = 3, .page = 4});
  model t(3);
  append(tight, t, 0, chunk<float>(tight, 12, 6, 1));
  fork(tight, t, 0, 1, 10);
  CHECK(tight.free_pages() == 0);
  check_refused(tight, t, "heed::paged_kv::evict: 1 pages are needed, 0 are free",
                [&] { tight.evict(0, std::vector<index>{1, 2}); });
  check_refused(tight, t, "heed::paged_kv::append: 1 pages are needed, 0 are free", [&] {
    const chunk<float> c(tight, 1, 7, 1);
    tight.append(1, c.k.in(), c.v.in());
  });
  CHECK(tight.places(0, 0) == nullptr);
  for (const index b : {-1, 3}) {
    refused("release", [&] {
      try {
        cache.release(b);
      } catch (const std::invalid_argument&) {
        throw std::invalid_argument("release");
      }
    });
    refused("fork: there are 3 sequences", [&] { cache.fork(b, 0); });
  }
}

TEST_CASE("an append that one sequence has no room for leaves the users of pages alone") {
  paged_kv cache(small, {.pages = 12, .page = 4, .table = 2});
  model m(3);
  append(cache, m, 0, chunk<float>(cache, 6, 1, 1));
  fork(cache, m, 0, 1, 6);
  append(cache, m, 2, chunk<float>(cache, 8, 2, 1));
  const chunk<float> c(cache, 1, 3);
  check_refused(cache, m, "sequence 2 has 8 of 8 tokens",
                [&] { cache.append(c.k.in(), c.v.in()); });
  CHECK(cache.users(cache.page(0, 1)) == 2);
  append(cache, m, 0, chunk<float>(cache, 2, 4, 1));
  check_cache(cache, m);
}

TEST_CASE("a pool of nothing cannot be made") {
  const auto refused = [](const kv_shape& shape, const kv_pages& pool) {
    CHECK_THROWS_AS(paged_kv(shape, pool), std::invalid_argument);
  };
  refused({0, 2, 5, 3}, {.pages = 4}), refused({-3, 2, 5, 3}, {.pages = 4});
  refused(small, {.pages = 0}), refused(small, {.pages = -1});
  refused(small, {.pages = 4, .page = 0}), refused(small, {.pages = 4, .page = -4});
  refused(small, {.pages = 4, .page = 4, .table = -1});
  constexpr index huge = std::numeric_limits<index>::max();
  refused(small, {.pages = huge, .page = 4}), refused(small, {.pages = 4, .page = huge});
  refused({index{1} << 62, 1, 1, 1}, {.pages = 4, .page = 4});
}

TEST_CASE("a sequence may have as many pages as there are, however many it is allowed") {
  paged_kv cache(small, {.pages = 4, .page = 4, .table = std::numeric_limits<index>::max()});
  CHECK(cache.capacity() == 16);
}

}  // namespace heed::test
