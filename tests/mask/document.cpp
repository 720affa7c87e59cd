// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/document.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/document.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// Runs of random lengths, ids in no order.
std::vector<int> runs(index count, unsigned seed) {
  numbers random(seed);
  std::vector<int> ids;
  for (int id = 0; index(ids.size()) < count; ++id)
    for (index n = 1 + random.below(40); n > 0 && index(ids.size()) < count; --n)
      ids.push_back(id * 7919 % 1009);
  return ids;
}
std::vector<int> offsets_of(const std::vector<int>& ids) {
  std::vector<int> cu = {0};
  for (std::size_t i = 1; i <= ids.size(); ++i)
    if (i == ids.size() || ids[i] != ids[i - 1]) cu.push_back(int(i));
  return cu;
}
allowed truth(index queries, const std::vector<int>& ids) {
  reference::indices of_key(ids.begin(), ids.end()), of_query;
  const index keys = index(ids.size());
  for (index r = 0; r < queries; ++r) {
    const index i = r + keys - queries;
    of_query.push_back(i < 0 ? -1 : of_key[std::size_t(i)]);
  }
  return reference::mask::document(of_query, of_key);
}

}  // namespace

TEST_CASE("Documents, drawn") {
  const std::vector<int> ids = {7, 7, 3, 3, 3}, cu = {0, 2, 5}, with_empty = {0, 0, 2, 2, 5, 5};
  const drawing blocks = {"xx...", "xx...", "..xxx", "..xxx", "..xxx"};
  CHECK(drawn(document{ids}, 5, 5) == blocks);
  CHECK(drawn(packed_documents{cu}, 5, 5) == blocks);
  CHECK(drawn(packed_documents{with_empty}, 5, 5) == blocks);
  CHECK(drawn(causal{} && document{ids}, 5, 5) ==
        drawing{"x....", "xx...", "..x..", "..xx.", "..xxx"});
  CHECK(drawn(document{ids}, 6, 5)[0] == ".....");
}

TEST_CASE("Documents, against their reference and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    const std::vector<int> ids = runs(keys, 3), cu = offsets_of(ids);
    const auto want = [&](index) { return truth(queries, ids); };
    check_mask(document{ids}, 1, queries, keys, want);
    check_mask(packed_documents{cu}, 1, queries, keys, want);
    check_mask(causal{} && document{ids}, 1, queries, keys, [&](index) {
      return allowed(truth(queries, ids) && reference::mask::causal(queries, keys));
    });
  }
}

TEST_CASE("Each batch item may have documents of its own") {
  const index keys = 90;
  std::vector<int> both = runs(keys, 5);
  const std::vector<int> second = runs(keys, 6), first = both;
  both.insert(both.end(), second.begin(), second.end());
  check_mask(document{.ids = {both, 2}}, 2, 70, keys,
             [&](index b) { return truth(70, b ? second : first); });
}

TEST_CASE("Documents refuse arrays that do not fit") {
  const problem_shape shape{.batch = 2, .queries = 4, .keys = 4};
  const std::vector<int> few = {1, 1, 1}, again = {1, 2, 2, 1}, bad_start = {1, 4},
                         bad_end = {0, 3}, falls = {0, 3, 2, 4};
  CHECK_THROWS_WITH(document{few}.check(shape),
                    ContainsSubstring("heed::document") && ContainsSubstring("3 values"));
  CHECK_THROWS_WITH((document{.ids = {again, 4}}).check(shape), ContainsSubstring("batch of 4"));
  CHECK_THROWS_WITH(document{again}.check(shape),
                    ContainsSubstring("heed::document") && ContainsSubstring("id 1"));
  CHECK_THROWS_WITH(packed_documents{}.check(shape),
                    ContainsSubstring("heed::packed_documents") && ContainsSubstring("empty"));
  CHECK_THROWS_WITH(packed_documents{bad_start}.check(shape), ContainsSubstring("start at 0"));
  CHECK_THROWS_WITH(packed_documents{bad_end}.check(shape), ContainsSubstring("ends at 3"));
  CHECK_THROWS_WITH(packed_documents{falls}.check(shape), ContainsSubstring("cu_seqlens[2] = 2"));
}

}  // namespace heed::test
