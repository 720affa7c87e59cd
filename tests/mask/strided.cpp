// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/strided.hpp>
#include <heed/reference/mask/strided.hpp>

#include "support/head_of.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("Strides, drawn") {
  CHECK(drawn(strided{3}, 9, 9) == drawing{"x........", "xx.......", "xxx......", "xxxx.....",
                                           ".xxxx....", "..xxxx...", "x..xxxx..", ".x..xxxx.",
                                           "..x..xxxx"});
  CHECK(drawn(fixed_strided{3, 1}, 9, 9) == drawing{"x........", "xx.......", "xxx......",
                                                    "..xx.....", "..xxx....", "..xxxx...",
                                                    "..x..xx..", "..x..xxx.", "..x..xxxx"});
  CHECK(drawn(dilated_window{.left = 2, .step = 2}, 9, 9) ==
        drawing{"x........", ".x.......", "x.x......", ".x.x.....", "x.x.x....", ".x.x.x...",
                "..x.x.x..", "...x.x.x.", "....x.x.x"});
}

TEST_CASE("Strides, against their references and in the engine") {
  for (const auto& [queries, keys] : awkward()) {
    const index q = queries, k = keys;
    for (const index l : {1, 3, 16, 1000}) {
      check_mask(strided{l}, 1, q, k, [&](index) { return reference::mask::strided(q, k, l); });
      check_vector(strided{l}, q, k);
      for (const index c : {index{0}, index{1}, l / 2, l}) {
        check_mask(fixed_strided{l, c}, 1, q, k,
                   [&](index) { return reference::mask::fixed_strided(q, k, l, c); });
        check_vector(fixed_strided{l, c}, q, k);
      }
    }
    for (const index step : {1, 2, 7})
      for (const index right : {0, 5}) {
        const dilated_window m{4, right, step};
        check_mask(m, 1, q, k,
                   [&](index) { return reference::mask::dilated_window(q, k, 4, right, step); });
        check_vector(m, q, k);
      }
  }
}

TEST_CASE("Windows with a step of its own for each head") {
  const std::vector<int> steps{1, 3, 2, 1}, ones(4, 1);
  for (const auto& [queries, keys] : awkward())
    check_heads(dilated_window{3, 2, 1, steps}, 2, queries, keys,
                [&, q = queries, k = keys](index, index h) {
                  return reference::mask::dilated_window(q, k, 3, 2,
                                                         steps[static_cast<std::size_t>(h)]);
                });
  CHECK(heed::is_exact(dilated_window{3, 2, 1, ones}));
  CHECK(!heed::is_exact(dilated_window{3, 2, 1, steps}));
}

// Quotients are rounded: every distance at the end of what float holds, by strides that are not
// powers of two.
TEST_CASE("Multiples in float") {
  using arch = simd::best;
  using batch = simd::batch<float, arch>;
  constexpr index W = simd::width<float, arch>;
  for (const index of : {1, 3, 7, 49, 4095, 5000, 1000003})
    for (index first : {index{0}, index{(1 << 24) - 4 * W}, index{12345678}})
      for (index i = first; i < first + 4 * W; i += W) {
        const batch x = batch(float(i)) + simd::iota<float, arch>();
        float flags[std::size_t(W)];
        simd::store(flags,
                    batch(simd::select(detail::multiple(x, float(of)), batch(1.f), batch(0.f))));
        for (index j = 0; j < W; ++j) {
          CAPTURE(i + j, of);
          CHECK((flags[j] != 0) == ((i + j) % of == 0));
        }
      }
}

TEST_CASE("Blocks between strides are known to be empty") {
  CHECK(strided{100}.covers({0, 0, {350, 360}, {100, 140}}) == cover::none);
  CHECK(strided{100}.covers({0, 0, {350, 360}, {100, 151}}) == cover::some);
  CHECK(strided{100}.covers({0, 0, {350, 360}, {300, 340}}) == cover::all);
  CHECK(fixed_strided{100, 4}.covers({0, 0, {350, 360}, {100, 196}}) == cover::none);
  CHECK(fixed_strided{100, 4}.covers({0, 0, {350, 360}, {100, 197}}) == cover::some);
  CHECK(fixed_strided{100, 4}.covers({0, 0, {350, 360}, {196, 200}}) == cover::all);
  CHECK(fixed_strided{100, 4}.covers({0, 0, {350, 360}, {300, 350}}) == cover::all);
}

TEST_CASE("Strides refuse what is no stride") {
  const std::vector<int> steps{1, 0};
  CHECK_THROWS_WITH(strided{0}.check({}), ContainsSubstring("heed::strided: stride") &&
                                              ContainsSubstring("at least 1: 0"));
  CHECK_THROWS_WITH((fixed_strided{0, 1}.check({})), ContainsSubstring("heed::fixed_strided"));
  CHECK_THROWS_WITH((fixed_strided{3, -1}.check({})), ContainsSubstring("columns"));
  CHECK_THROWS_WITH((dilated_window{1, 1, 0}.check({})), ContainsSubstring("step must be"));
  CHECK_THROWS_WITH((dilated_window{4, 1, index{1} << 62}.check({})),
                    ContainsSubstring("step must be at most"));
  CHECK_THROWS_WITH((dilated_window{-1, 1}.check({})), ContainsSubstring("left = -1"));
  CHECK_THROWS_WITH((dilated_window{1, 1, 1, steps}.check({.heads = 3})),
                    ContainsSubstring("2 numbers, 3 heads"));
  CHECK_THROWS_WITH((dilated_window{1, 1, 1, steps}.check({.heads = 2})),
                    ContainsSubstring("every step must be at least 1: 0"));
}

}  // namespace heed::test
