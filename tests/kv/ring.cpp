// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/ring.hpp>
#include <heed/reference/kv/ring.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 2, .heads = 2, .depth = 5, .value_depth = 3};

// What the ring should hold of all that was appended.
model last(const model& all, index window) {
  model m = all;
  for (reference::kv::sequence& s : m) {
    for (reference::kv::head& h : s.heads) h = reference::kv::ring(h, window);
    s.length = std::min(s.length, window);
  }
  return m;
}

}  // namespace

TEST_CASE("the last tokens stay, at their own positions") {
  for (const index window : {1, 4, 7})
    for (const index slack : {0, 3}) {
      ring_kv cache(small, {window, slack});
      const std::size_t reserved = cache.bytes();
      model all(2);
      check_cache(cache, last(all, window));
      for (const index n : {1, 1, 5, 0, 2, 9, 30, 1, 1}) {
        append(cache, all, chunk<float>(cache, n, unsigned(n + window)));
        check_cache(cache, last(all, window));
      }
      append(cache, all, 1, chunk<float>(cache, 3, 50, 1));
      cache.fork(1, 0), all[0] = all[1];
      append(cache, all, chunk<float>(cache, 2, 51));
      check_cache(cache, last(all, window));
      CHECK(cache.bytes() == reserved);
    }
}

TEST_CASE("drafts within the slack are taken back") {
  ring_kv cache(small, {6, 3});
  model all(2);
  for (index step = 0; step < 20; ++step) {
    append(cache, all, chunk<float>(cache, 3, unsigned(step)));
    for (const index b : {0, 1}) truncate(cache, all, b, cache.end(b) - (step + b) % 4);
    check_cache(cache, last(all, 6));
  }
}

TEST_CASE("runs lie together up to the end of the ring") {
  ring_kv cache(small, {6, 2});
  model all(2);
  append(cache, all, chunk<float>(cache, 5, 1));
  CHECK(cache.run(0, 0, 0).count == 5);
  append(cache, all, chunk<float>(cache, 6, 2));  // tokens 5 … 10, in slots 5 6 7 | 0 1 2
  CHECK(cache.run(0, 0, 0).count == 3);
  CHECK(cache.run(0, 0, 3).count == 3);
}

TEST_CASE("what cannot be done leaves a ring as it was") {
  ring_kv cache(small, {6, 3});
  model all(2);
  append(cache, all, chunk<float>(cache, 20, 1));
  const auto refused = [&](const std::string& text, auto call) {
    check_refused(cache, last(all, 6), text, call);
  };
  refused(
      "heed::ring_kv::truncate: token 10 of sequence 0 is overwritten, the oldest there is "
      "is 11",
      [&] { cache.truncate(0, 16); });
  refused("is overwritten", [&] { cache.truncate(0, 5); });
  refused("was given 20 tokens, not 21", [&] { cache.truncate(0, 21); });
  refused("was given 20 tokens, not -1", [&] { cache.truncate(0, -1); });
  for (const index b : {-1, 2}) {
    refused("heed::ring_kv::truncate: there are 2", [&] { cache.truncate(b, 19); });
    refused("heed::ring_kv::fork: there are 2", [&] { cache.fork(b, 0); });
    refused("heed::ring_kv::fork: there are 2", [&] { cache.fork(0, b); });
    refused("heed::ring_kv::append: there are 2", [&] { cache.append(b, operand{}, operand{}); });
  }
  const auto x = uniform<float>({2, 2, 1, 4}, 1);
  refused("heed::ring_kv::append: k must be", [&] { cache.append(x.in(), x.in()); });
  refused("heed::ring_kv::append: k must be", [&] { cache.append(1, x.in(), x.in()); });
  truncate(cache, all, 0, 0);
  append(cache, all, chunk<float>(cache, 2, 1));
  truncate(cache, all, 0, 1);  // what was lost before it began anew does not count
  check_cache(cache, last(all, 6));
}

TEST_CASE("a ring without tokens, or with codes that share scales, cannot be made") {
  CHECK_THROWS_AS(ring_kv(small, {0, 3}), std::invalid_argument);
  CHECK_THROWS_AS(ring_kv(small, {3, -1}), std::invalid_argument);
  CHECK_THROWS_AS(ring_kv({0, 2, 5, 3}, {3, 1}), std::invalid_argument);
  constexpr index huge = std::numeric_limits<index>::max();
  CHECK_THROWS_AS(ring_kv(small, {huge, 3}), std::invalid_argument);
  CHECK_THROWS_AS(ring_kv(small, {huge, huge}), std::invalid_argument);
  CHECK_THROWS_AS(ring_kv(small, {index{1} << 61, 0}), std::invalid_argument);
  CHECK_THROWS_WITH(ring_kv(small, {32, 0}, kv_format{.type = kv_type::i8}.per_channel()),
                    Catch::Matchers::ContainsSubstring("cannot be overwritten one by one"));
}

}  // namespace heed::test
