// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/streaming.hpp>
#include <heed/reference/kv/streaming.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 2, .heads = 2, .depth = 5, .value_depth = 3};

model streamed(const model& all, index first, index window) {
  model m = all;
  for (reference::kv::sequence& s : m) {
    for (reference::kv::head& h : s.heads) h = reference::kv::streaming(h, first, window);
    s.length = s.end = std::min(s.length, first + window);
  }
  return m;
}

}  // namespace

TEST_CASE("the first and the last tokens stay, at their places in the cache") {
  for (const index first : {0, 1, 4})
    for (const index window : {1, 6})
      for (const index slack : {0, 3}) {
        streaming_kv cache(small, {first, window, slack});
        model all(2);
        for (const index n : {1, 2, 1, 5, 0, 2, 9, 30, 1, 1}) {
          append(cache, all, chunk<float>(cache, n, unsigned(n + window)));
          check_cache(cache, streamed(all, first, window));
        }
        append(cache, all, 1, chunk<float>(cache, 3, 50, 1));
        cache.fork(1, 0), all[0] = all[1];
        append(cache, all, chunk<float>(cache, 2, 51));
        check_cache(cache, streamed(all, first, window));
        CHECK(cache.seen(0) == 57);
      }
}

TEST_CASE("a first chunk longer than the cache leaves its first and last tokens") {
  streaming_kv cache(small, {.window = 5});
  model all(2);
  append(cache, all, chunk<float>(cache, 40, 1));
  check_cache(cache, streamed(all, 4, 5));
  CHECK(cache.run(0, 0, 0).count == 4);
}

TEST_CASE("tokens are one run as long as none was overwritten") {
  streaming_kv cache(small, {.window = 5});
  model all(2);
  append(cache, all, chunk<float>(cache, 9, 1));
  CHECK(cache.run(0, 0, 0).count == 9);
}

TEST_CASE("drafts within the slack are taken back, and a sequence can start anew") {
  streaming_kv cache(small, {4, 6, 3});
  model all(2);
  for (index step = 0; step < 20; ++step) {
    append(cache, all, chunk<float>(cache, 3, unsigned(step)));
    for (const index b : {0, 1}) truncate(cache, all, b, cache.seen(b) - (step + b) % 4);
    check_cache(cache, streamed(all, 4, 6));
  }
  truncate(cache, all, 0, 3);
  append(cache, all, chunk<float>(cache, 5, 30));
  check_cache(cache, streamed(all, 4, 6));
}

TEST_CASE("what cannot be done leaves a streaming cache as it was") {
  streaming_kv cache(small, {4, 6, 2});
  model all(2);
  append(cache, all, chunk<float>(cache, 20, 1));
  const auto refused = [&](const std::string& text, auto call) {
    check_refused(cache, streamed(all, 4, 6), text, call);
  };
  refused("heed::streaming_kv::truncate: token 11 of sequence 0 is overwritten",
          [&] { cache.truncate(0, 17); });
  refused("is overwritten", [&] { cache.truncate(0, 5); });
  refused("was given 20 tokens, not 21", [&] { cache.truncate(0, 21); });
  const auto x = uniform<float>({2, 2, 1, 4}, 1);
  refused("heed::streaming_kv::append: k must be", [&] { cache.append(x.in(), x.in()); });
  refused("heed::streaming_kv::fork: there are 2", [&] { cache.fork(0, 2); });
  CHECK_THROWS_AS(streaming_kv(small, {.first = -1, .window = 4}), std::invalid_argument);
  CHECK_THROWS_AS(streaming_kv(small, {.first = 1}), std::invalid_argument);
}

}  // namespace heed::test
