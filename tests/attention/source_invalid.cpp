// SPDX-License-Identifier: BSL-1.0
// Every call on a source that does not fit is refused before anything is read or written.
#include <algorithm>
#include <functional>
#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged_tensors.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/position/rope.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"

using Catch::Matchers::ContainsSubstring;

namespace heed::test {
namespace {

constexpr heed::attention decoding{.mask = causal{}};

// A call for driver `split`, and one for `stream`, against 2 sequences of 2 kv heads.
struct call {
  std::vector<float> memory = std::vector<float>(8192, 0.5f), written = memory;
  contiguous_kv cache{{.batch = 2, .heads = 2, .depth = 8, .value_depth = 6}, 40};
  view<float> q, out, lse;

  explicit call(index queries) {
    std::fill(written.begin(), written.end(), 7.f);
    q = {memory.data(), {2, 4, queries, 8}};
    out = {written.data(), {2, 4, queries, 6}};
    lse = {written.data() + 4096, {2, 4, queries, 1}};
    cache.append(view<const float>(memory.data(), {2, 2, 40, 8}),
                 view<const float>(memory.data(), {2, 2, 40, 6}));
  }
  template <class Source> void run(const Source& source) const {
    attend(decoding, view<const float>(q), source, {.out = out, .lse = lse});
  }
  bool untouched() const {
    return std::all_of(written.begin(), written.end(), [](float x) { return x == 7.f; });
  }
};

std::string shown(const char* name, const extents& e) {
  return std::string(name) + " [B,H,L,D] = " + check::print(e);
}

void refused(const std::string& rule, const std::function<void(call&)>& spoil) {
  for (const index queries : {1, 20}) {
    call c(queries);
    spoil(c);
    INFO(rule);
    CHECK_THROWS_AS(c.run(c.cache), std::invalid_argument);
    CHECK_THROWS_WITH(c.run(c.cache), ContainsSubstring("heed::attend: " + rule) &&
                                          ContainsSubstring(shown("q", c.q.extent)) &&
                                          ContainsSubstring(shown("k", {2, 2, 40, 8})) &&
                                          ContainsSubstring(shown("v", {2, 2, 40, 6})) &&
                                          ContainsSubstring(shown("out", c.out.extent)) &&
                                          ContainsSubstring(shown("lse", c.lse.extent)));
    CHECK(c.untouched());
    CHECK(c.cache.length(0) == 40);
  }
}

}  // namespace

TEST_CASE("the call on a source that the others spoil is valid") {
  for (const index queries : {1, 20}) {
    call c(queries);
    CHECK_NOTHROW(c.run(c.cache));
    CHECK(c.written[0] == Approx(0.5));
  }
}

TEST_CASE("queries and results that do not fit the source") {
  for (const index batch : {0, 1, 3})
    refused("q, k, v and out must have the same batch",
            [&](call& c) { c.q.extent[0] = c.out.extent[0] = c.lse.extent[0] = batch; });
  refused("q, k, v and out must have the same batch", [](call& c) { c.out.extent[0] = 1; });
  for (const index heads : {1, 3, 5})
    refused("query heads must be a multiple of key heads",
            [&](call& c) { c.q.extent[1] = c.out.extent[1] = c.lse.extent[1] = heads; });
  refused("q and out must have the same heads", [](call& c) { c.out.extent[1] = 2; });
  refused("q and out must have the same length", [](call& c) { ++c.out.extent[2]; });
  refused("q and k must have the same channels", [](call& c) { c.q.extent[3] = 7; });
  refused("q and k must have the same channels", [](call& c) { c.q.extent[3] = 0; });
  refused("v and out must have the same channels", [](call& c) { c.out.extent[3] = 8; });
  for (std::size_t axis = 0; axis < 4; ++axis) {
    refused("lse must be [B,H,Lq]", [&](call& c) { ++c.lse.extent[axis]; });
    refused("extents must not be negative",
            [&](call& c) { c.q.extent[axis] = c.out.extent[axis] = -1; });
  }
}

TEST_CASE("queries and results that are not there, on a source") {
  refused("q, k and v must not be null", [](call& c) { c.q.data = nullptr; });
  refused("out must not be null", [](call& c) { c.out.data = nullptr; });
}

TEST_CASE("nothing is needed where nothing is asked, and an empty cache gives zeros") {
  call none(0);
  none.q.data = none.out.data = nullptr;
  none.lse.data = nullptr;
  CHECK_NOTHROW(none.run(none.cache));
  call c(3);
  c.cache.truncate(0, 0), c.cache.truncate(1, 0);
  CHECK_NOTHROW(c.run(c.cache));
  CHECK(std::all_of(c.written.begin(), c.written.begin() + 2 * 4 * 3 * 6,
                    [](float x) { return x == 0; }));
  CHECK(c.written[4096] == -INFINITY);
}

TEST_CASE("policies that do not fit the source") {
  const rope wide{rotations::plain(10)};
  call c(1);
  const auto fails = [&](const std::string& text, const auto& spec, const outputs& to) {
    CHECK_THROWS_AS(attend(spec, view<const float>(c.q), c.cache, to), std::invalid_argument);
    CHECK_THROWS_WITH(attend(spec, view<const float>(c.q), c.cache, to), ContainsSubstring(text));
    CHECK(c.untouched());
  };
  fails("heed::rope", attention{.mask = causal{}, .key = wide}, {.out = c.out});
  fails("this normaliser has no log-sum-exp", attention{.mask = causal{}, .normalizer = relu{}},
        {.out = c.out, .lse = c.lse});
}

// A table that lies is found before a row is read through it.
TEST_CASE("attend looks at pages of the caller's first") {
  call c(1);
  const index depth = 8, value_depth = 6, page = 4;
  std::vector<float> k(std::size_t(6 * 2 * page * depth), 0.5f),
      v(std::size_t(6 * 2 * page * value_depth), 0.5f);
  std::vector<int> table{4, 0, 2, 1, 5, 3}, lengths{12, 7};
  const auto pages = [&] {
    return paged_tensors{.k = view<float>(k.data(), {6, 2, page, depth}),
                         .v = view<float>(v.data(), {6, 2, page, value_depth}),
                         .table = {table.data(), {2, 1, 3, 1}},
                         .lengths = lengths};
  };
  const auto fails = [&](const std::string& text, const paged_tensors& source) {
    for (const index queries : {1, 20}) {
      call one(queries);
      CHECK_THROWS_AS(one.run(source), std::invalid_argument);
      CHECK_THROWS_WITH(one.run(source), ContainsSubstring(text));
      CHECK(one.untouched());
    }
  };
  CHECK_NOTHROW(c.run(pages()));
  for (const int bad : {-1, 6, 1 << 30}) {
    table[4] = bad;
    fails("page 1 of sequence 1 is " + std::to_string(bad) + ", there are 6", pages());
    table[4] = 5, table[5] = bad;
    CHECK_NOTHROW(c.run(pages()));  // no token lies there
    table[5] = 3;
  }
  lengths[0] = 13;
  fails("sequence 0 would have 13 tokens, its row of the table holds 12", pages());
  lengths[0] = -1;
  fails("sequence 0 would have -1 tokens", pages());
  lengths[0] = 12;
  auto other = pages();
  other.table.extent[0] = 1;
  fails("the table is [1, 1, 3, 1] for 2 sequences", other);
  other = pages(), other.k = result{};
  fails("k and v must have data", other);
  other = pages(), other.v.extent[1] = 1;
  fails("k and v must agree in all but their channels", other);
  CHECK_NOTHROW(c.run(pages()));
}

}  // namespace heed::test
