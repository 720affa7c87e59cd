// SPDX-License-Identifier: BSL-1.0
// Decoding over tokens that lie apart: short runs are brought together before they are multiplied.
#include <heed/kv/contiguous.hpp>
#include <heed/kv/selected.hpp>
#include <heed/mask/causal.hpp>
#include <numeric>

#include "support/on_source.hpp"

namespace heed::test {
namespace {

// One sequence, two kv heads, `count` of 600 tokens for each, the newest two among them.
struct listed_call {
  contiguous_kv cache;
  std::vector<index> offsets{0};
  std::vector<int> tokens;

  listed_call(const kv_format& how, index depth, index value_depth, index count)
      : cache({.batch = 1, .heads = 2, .depth = depth, .value_depth = value_depth}, 600, how) {
    const auto k = random<float>({1, 2, 600, depth}, 1);
    auto v = random<float>({1, 2, 600, value_depth}, 2);
    for (index c = 0; c < value_depth; ++c)
      v(0, 1, 599, c) = std::numeric_limits<float>::quiet_NaN();
    if (how.type == kv_type::i8) v = random<float>({1, 2, 600, value_depth}, 2);
    cache.append(k.in(), v.in());
    std::mt19937 bits(seed());
    std::vector<int> all(598);
    std::iota(all.begin(), all.end(), 0);
    for (index h = 0; h < 2; ++h) {
      std::sample(all.begin(), all.end(), std::back_inserter(tokens), count - 2, bits);
      tokens.insert(tokens.end(), {598, 599});
      offsets.push_back(index(tokens.size()));
    }
  }
  selected_source<contiguous_kv> source() const {
    return {cache, block_lists{offsets, tokens, 1, 2}};
  }
};

template <class T> void agree(const listed_call& call, index group, index queries) {
  const auto source = call.source();
  const attention causally{.mask = causal{}};
  const auto q = random<T>({1, 2 * group, queries, source.depth()}, 3);
  auto out = unwritten<T>({1, 2 * group, queries, source.value_depth()});
  attend(causally, q.in(), source, out.in());
  const cached_result want = reference_on(causally, q.in(), source);
  for (index h = 0; h < 2 * group; ++h)
    for (index r = 0; r < queries; ++r) {
      const Eigen::RowVectorXd got = out.head(0, h).row(r), expected = want.out.head(0, h).row(r);
      if (expected.array().isNaN().any())
        CHECK(got.array().isNaN().all());
      else
        check_close(got, expected, tolerance<T>(8, 600, 8), "row");
    }
}

}  // namespace

TEST_CASE("tokens that lie apart are attended to, and what is hidden never leaks") {
  for (const kv_format& how :
       {kv_format{}, kv_format{.type = kv_type::f16}, kv_format{.type = kv_type::bf16},
        kv_format{.type = kv_type::f64}, kv_format{.type = kv_type::i8}})
    for (const index count : {2, 37, 300, 560}) {
      const listed_call call(how, 19, 21, count);
      for (const index group : {1, 4})
        for (const index queries : {1, 3}) {
          agree<float>(call, group, queries);
          agree<double>(call, group, queries);
        }
    }
}

}  // namespace heed::test
