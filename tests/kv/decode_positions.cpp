// SPDX-License-Identifier: BSL-1.0
// Rows that depend on where cached tokens sit: keys that turn, caches that forget, trees of drafts.
#include <heed/kv/ring.hpp>
#include <heed/kv/streaming.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/tree.hpp>
#include <heed/mask/window.hpp>
#include <heed/position/rope.hpp>

#include "support/cached_reference.hpp"
#include "support/decoding.hpp"

namespace heed::test {
namespace {

attention<causal, dot, none, softmax, none, rope, rope> rotary(index depth) {
  const rope turn{rotations::plain(depth)};
  return {.query = turn, .key = turn};
}

}  // namespace

TEST_CASE("keys that turn whenever they are read, on every way through the caches") {
  const prompts p(true);
  every_way(rotary(p.depth), rotary(p.depth), p, p.k);
}

// Their roundings would not be those of the reference: no halves.
TEST_CASE("keys that were turned before they were appended") {
  const prompts p;
  const rope turn{rotations::plain(p.depth)};
  const attention stored{.mask = causal{}, .query = turn};
  tensor<float> turned = p.k;
  for (index b = 0; b < prompts::batch; ++b)
    for (index h = 0; h < prompts::kv_heads; ++h)
      for (index l = 0; l < turned.extent[2]; ++l)
        turn.row<simd::best>(&turned(b, h, l), p.depth, {b, h, l, l});
  every_way(stored, rotary(p.depth), p, turned);
}

TEST_CASE("a ring has what a window sees, if it is as long as the window and a chunk") {
  const prompts p;
  const attention spec{.mask = window{.left = 39}};
  const all_rows expected = expected_rows(spec, p);
  const kv_shape shape{prompts::batch, prompts::kv_heads, p.depth, p.value_depth};
  // 40 keys a query, up to 9 queries at once, up to 4 of them taken back.
  const auto start = [&] {
    decoder d(spec, p, p.k, expected, held("ring", ring_kv(shape, {.window = 48, .slack = 4})));
    d.begin();
    return d;
  };
  start().rest({1});
  start().rest({9, 1, 3});
  start().rest_by_drafts();
  auto d = start();
  d.fork_after(p.shared);
  d.rest({1, 2});
}

// Positions are those in the cache, so every call has a reference of its own: on the tokens that
// are to be there.
TEST_CASE("a streaming cache is the first and the last tokens, side by side") {
  const prompts p;
  const auto spec = rotary(p.depth);
  const index first = 4, last = 30;
  streaming_kv cache({1, prompts::kv_heads, p.depth, p.value_depth},
                     {.first = first, .window = last, .slack = 6});
  const index sizes[] = {1, 1, 5, 1, 12, 2};
  for (index seen = 0, turn = 0; seen + 12 < p.rows + 600; ++turn) {
    const index n = sizes[turn % 6], drafted = turn % 3 == 0 ? 4 : 0;
    cache.append(0, part(p.k, 1, seen, n), part(p.v, 1, seen, n));
    seen += n;
    std::vector<index> held;
    for (index t = 0; t < seen; ++t)
      if (t < first || t >= seen - last) held.push_back(t);
    const auto length = static_cast<index>(held.size());
    tensor<float> k({1, prompts::kv_heads, length, p.depth}),
        v({1, prompts::kv_heads, length, p.value_depth});
    for (index h = 0; h < prompts::kv_heads; ++h)
      for (index i = 0; i < length; ++i) {
        for (index c = 0; c < p.depth; ++c) k(0, h, i, c) = p.k.in()(1, h, held[std::size_t(i)], c);
        for (index c = 0; c < p.value_depth; ++c)
          v(0, h, i, c) = p.v.in()(1, h, held[std::size_t(i)], c);
      }
    REQUIRE(cache.length(0) == length);
    const auto q = part(p.q, turn % prompts::batch, turn % (p.rows - 12), n);
    tensor<float> out({1, prompts::heads, n, p.value_depth});
    tensor<double> expected(out.extent);
    attend(spec, q, cache, out.in());
    reference::attend(spec, q, k.in(), v.in(), {.out = expected.in()});
    for (index h = 0; h < prompts::heads; ++h)
      check_close(out.head(0, h), expected.head(0, h), tolerance<float>(8, p.depth, 1),
                  std::to_string(n) + " queries after " + std::to_string(seen));
    cache.append(0, part(p.k, 0, 0, drafted), part(p.v, 0, 0, drafted));
    cache.truncate(0, seen);
  }
}

// Every token's row is that of its path, the prefix and the tokens above it, on its own.
TEST_CASE("a tree of drafts is verified at once") {
  const prompts p;
  std::mt19937 random(seed());
  for (const index n : {7, 20}) {  // drivers `split` and `stream`
    std::vector<int> parents{-1};
    while (index(parents.size()) < n)
      parents.push_back(std::uniform_int_distribution<int>(-1, int(parents.size()) - 1)(random));
    const auto drafts = token_tree::from_parents(parents);
    const std::vector<int> prefix{40, 57};
    paged_kv cache({2, prompts::kv_heads, p.depth, p.value_depth}, {.pages = 60, .page = 3});
    for (index b = 0; b < 2; ++b) {
      const index tokens = prefix[std::size_t(b)] + n;
      cache.append(b, part(p.k, b, 0, tokens), part(p.v, b, 0, tokens));
    }
    view<const float> q = p.q.in();
    q.extent[0] = 2, q.extent[2] = n;
    tensor<float> out({2, prompts::heads, n, p.value_depth});
    attend(attention{.mask = tree(drafts, prefix)}, q, cache, out.in());
    for (index b = 0; b < 2; ++b)
      for (index i = 0; i < n; ++i) {
        std::vector<index> path;
        for (int t = int(i); t >= 0; t = parents[std::size_t(t)]) path.insert(path.begin(), t);
        contiguous_kv alone({1, prompts::kv_heads, p.depth, p.value_depth}, 100);
        const index from = prefix[std::size_t(b)];
        alone.append(part(p.k, b, 0, from), part(p.v, b, 0, from));
        for (const index t : path)
          alone.append(part(p.k, b, from + t, 1), part(p.v, b, from + t, 1));
        const cached_result expected = reference_on(attention{}, part(p.q, b, i, 1), alone);
        for (index h = 0; h < prompts::heads; ++h)
          check_close(out.head(b, h).row(i), expected.out.head(0, h),
                      tolerance<float>(8, p.depth, 1), "token " + std::to_string(i));
      }
  }
}

}  // namespace heed::test
