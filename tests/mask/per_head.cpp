// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/per_head.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/reference/mask/chunk.hpp>
#include <heed/reference/mask/where.hpp>

#include "support/head_of.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

const auto streaming = causal{} && (window{.left = 1} || first_keys{1});
bool streams(index i, index j) { return j <= i && (j >= i - 1 || j < 1); }

}  // namespace

TEST_CASE("Masks of heads, drawn") {
  const std::vector<int> of{1, 0};
  const per_head m(of, causal{}, streaming);
  CHECK(drawn(head_of<decltype(m)>{m, 0}, 5, 5) ==
        drawing{"x....", "xx...", "xxx..", "x.xx.", "x..xx"});
  CHECK(drawn(head_of<decltype(m)>{m, 1}, 5, 5) ==
        drawing{"x....", "xx...", "xxx..", "xxxx.", "xxxxx"});
}

TEST_CASE("Masks of heads, against their references and in the engine") {
  const std::vector<int> of{1, 0, 2, 1}, pairs{1, 0};
  for (const auto& [queries, keys] : awkward()) {
    const index lq = queries, lk = keys;
    const auto exact = [&](index number) {
      return number == 0   ? reference::mask::where(lq, lk, [](index i, index j) { return j <= i; })
             : number == 1 ? reference::mask::where(lq, lk, streams)
                           : reference::mask::chunk(lq, lk, 16);
    };
    const per_head m(of, causal{}, streaming, chunk{16});
    check_heads(m, 2, lq, lk, [&](index, index h) { return exact(of[std::size_t(h)]); });
    per_head two(pairs, causal{}, streaming);
    two.group = 2;
    check_heads(two, 1, lq, lk, [&](index, index h) { return exact(pairs[std::size_t(h / 2)]); });
  }
}

TEST_CASE("Masks of heads, some of which are asked") {
  const auto odd = where([](const position& at) { return (at.q - at.k) % 2 == 0; });
  const auto near = where([](const auto& at) { return (at.q - at.k < decltype(at.k)(9)); });
  const std::vector<int> of{1, 0, 2, 1};
  const auto truth = [](index number, index i, index j) {
    return j <= i && (number == 0 ? (i - j) % 2 == 0 : number == 1 ? i - j < 9 : true);
  };
  for (const auto& [queries, keys] : awkward()) {
    const auto want = [&, q = queries, k = keys](index, index h) {
      return reference::mask::where(
          q, k, [&](index i, index j) { return truth(of[std::size_t(h)], i, j); });
    };
    check_heads(per_head(of, causal{} && odd, causal{} && near, causal{}), 1, queries, keys, want);
    check_heads(
        per_head(of, any_mask(causal{} && odd), any_mask(causal{} && near), any_mask(causal{})), 1,
        queries, keys, want);
    check_heads(causal{} && per_head(of, odd, near, full{}), 1, queries, keys, want);
  }
  const std::vector<int> one{1};
  check_vector(per_head(one, window{4, 3}, first_keys{3}), 33, 300);
}

TEST_CASE("Masks of heads refuse a table that does not fit") {
  const problem_shape shape{.batch = 1, .heads = 2, .queries = 3, .keys = 4};
  const std::vector<int> one{0}, two{0, 1}, high{0, 2}, minus{-1, 0};
  CHECK_NOTHROW(per_head(two, causal{}, full{}).check(shape));
  CHECK_THROWS_WITH(per_head(one, causal{}, full{}).check(shape),
                    ContainsSubstring("heed::per_head") && ContainsSubstring("2 heads"));
  CHECK_THROWS_WITH(per_head(high, causal{}, full{}).check(shape),
                    ContainsSubstring("of[1] = 2 names none of the 2 masks"));
  CHECK_THROWS_WITH(per_head(minus, causal{}, full{}).check(shape),
                    ContainsSubstring("of[0] = -1"));
  CHECK_THROWS_WITH(per_head(two, causal{}, window{-1}).check(shape),
                    ContainsSubstring("heed::window"));
}

}  // namespace heed::test
