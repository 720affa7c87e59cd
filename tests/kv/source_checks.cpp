// SPDX-License-Identifier: BSL-1.0
// Who reads tokens has the source look at itself first, through any views of it.
#include <heed/kv/contiguous.hpp>
#include <heed/kv/head_range.hpp>
#include <heed/kv/key_channels.hpp>
#include <heed/kv/latent.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/selected.hpp>
#include <heed/select/page_bounds.hpp>
#include <heed/select/partial_dims.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

// Two sequences of three tokens in memory that is found to be broken.
struct broken_source {
  contiguous_kv cache{{.batch = 2, .heads = 2, .depth = 4, .value_depth = 4}, 8};
  broken_source() {
    const auto x = uniform<float>({2, 2, 3, 4}, 1);
    cache.append(x.in(), x.in());
  }
  index batch() const { return 2; }
  index heads() const { return 2; }
  index depth() const { return 4; }
  index value_depth() const { return 4; }
  index length(index b) const { return cache.length(b); }
  index end(index b) const { return cache.end(b); }
  kv_run run(index b, index h, index t) const { return cache.run(b, h, t); }
  void check() const { check::fail("broken_source", "has no pages"); }
};

}  // namespace

TEST_CASE("views of a source and what looks at its keys have it checked") {
  const broken_source source;
  const auto refused = [](auto call) {
    CHECK_THROWS_WITH(call(), Catch::Matchers::ContainsSubstring("has no pages"));
  };
  refused([&] { detail::check_source(latent_source(source, 2)); });
  refused([&] { detail::check_source(key_channels(source, 0, 2)); });
  refused([&] { detail::check_source(head_range(source, {0, 1})); });
  const std::vector<index> ends{0, 2};
  const std::vector<int> two{0, 1};
  refused([&] { selected_source(source, block_lists{ends, two}); });
  page_bounds bounds;
  refused([&] { bounds.update(source); });
  dominant_channels few(std::vector<std::vector<int>>{{0}, {1}});
  refused([&] { few.update(source); });
}

TEST_CASE("key channels that cut a byte are refused where only a later sequence has codes") {
  contiguous_kv cache({.batch = 2, .heads = 1, .depth = 8, .value_depth = 4}, 64,
                      {kv_as::int4().per_channel(), kv_as::single()});
  const auto k = uniform<float>({1, 1, 40, 8}, 1), v = uniform<float>({1, 1, 40, 4}, 2);
  cache.append(0, k.in().slice_rows(0, 5), v.in().slice_rows(0, 5));  // not coded yet
  const key_channels odd(cache, 1, 4), even(cache, 2, 4);
  CHECK_NOTHROW(odd.check());
  cache.append(1, k.in(), v.in());
  CHECK_NOTHROW(even.check());
  CHECK_THROWS_WITH(odd.check(), Catch::Matchers::ContainsSubstring("a group of 1 codes"));
}

}  // namespace heed::test
