// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/types.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("any_mask is the mask it holds") {
  const std::vector<any_mask> all = {
      {},
      causal{},
      causal{} && (window{.left = 9} || first_keys{2}),
      where([](const position& p) { return (p.q * 3 + p.k) % 4 != 0; }),
      causal{} && where([](auto p) { return p.q - p.k <= 40; }),
      any_mask(causal{}) && !any_mask(first_keys{3}),
  };
  for (const any_mask& m : all)
    for (const auto& [queries, keys] : awkward()) {
      check_properties(m, queries, keys);
      check_engine(m, 1, queries, keys, [&, q = queries, k = keys](index) {
        allowed a(q, k);
        for (index r = 0; r < q; ++r)
          for (index j = 0; j < k; ++j) a(r, j) = m(at(q, k, r, j));
        return a;
      });
    }
}

TEST_CASE("any_mask passes on what settles blocks") {
  std::vector<int> type;
  for (int i = 0; i < 300; ++i) type.push_back(i / 17 % 3 - 1);
  const any_mask m = types{.type = type};
  const block one{0, 0, {17, 20}, {30, 34}};
  CHECK(m.covers(one) == cover::all);
  check_properties(m, 40, 300);
}

TEST_CASE("any_mask knows whether it is exact") {
  CHECK(is_exact(any_mask(causal{})));
  CHECK(!is_exact(any_mask(where([](const position&) { return true; }))));
  CHECK(is_exact(any_mask(causal{}) && window{3}));
  CHECK(!is_exact(any_mask(causal{}) || where([](const position&) { return true; })));
  CHECK(drawn(any_mask(causal{}), 2, 3) == drawing{"xx.", "xxx"});
}

TEST_CASE("any_mask gives the bits of the mask it holds") {
  const auto q = uniform({1, 2, 70, 8}, 1), k = uniform({1, 1, 300, 8}, 2),
             v = uniform({1, 1, 300, 4}, 3);
  const attended plain(attention{.mask = causal{}}, q, k, v);
  const attended erased(attention{.mask = any_mask(causal{})}, q, k, v);
  CHECK(plain.out.data == erased.out.data);
  CHECK(plain.lse.data == erased.lse.data);
}

TEST_CASE("any_mask checks what it holds") {
  CHECK_THROWS_WITH(any_mask(window{-1}).check({}), ContainsSubstring("heed::window"));
}

}  // namespace heed::test
