// SPDX-License-Identifier: BSL-1.0
// The micro-kernels over stored rows against their contracts in plain loops.
#include <heed/simd/row_tile.hpp>
#include <heed/simd/row_tile_scalar.hpp>

#include "simd/stored.hpp"
#include "support/catch.hpp"

using namespace heed::test;
using heed::kv_type;
namespace simd = heed::simd;

namespace {

template <class T> std::vector<kv_type> types() {
  if constexpr (std::is_same_v<T, float>)
    return {kv_type::f32, kv_type::f16, kv_type::bf16};
  else
    return {kv_type::f64};
}

// f(type, rows, keys, channels): every extent with some of the others.
template <class T, class F> void for_sizes(const F& f) {
  const heed::index depths[] = {1,  2,  3,  5,  7,  8,  13, 15, 16,  17,  23,  31,
                                32, 33, 47, 64, 65, 80, 96, 97, 127, 128, 257, 512};
  const heed::index counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 64};
  heed::index turn = 0;
  for (const kv_type type : types<T>())
    for (heed::index rows = 1; rows <= 9; ++rows)
      for (const heed::index depth : depths)
        for (int n = 0; n < 3; ++n)
          f(type, rows, counts[turn++ % heed::index(std::size(counts))], depth);
}

}  // namespace

TEMPLATE_TEST_CASE("row_scores = q k", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for_sizes<T>([](kv_type type, heed::index rows, heed::index keys, heed::index depth) {
    const stored_matrix k(type, keys, depth, keys % 3);
    const auto q = matrix<T>::random(rows, depth, depth + keys % 4);
    matrix<T> s(rows, keys, keys + depth % 3), expected = s;
    simd::row_scores<T, Arch>(k.rows, keys, q.begin(), q.stride, rows, depth, s.begin(), s.stride,
                              keys % 2 ? 4096 : 0);
    simd::plain::row_scores(k.rows, keys, q.begin(), q.stride, rows, depth, expected.begin(),
                            s.stride);
    INFO("type " << int(type) << ", rows " << rows << ", keys " << keys << ", depth " << depth);
    REQUIRE(difference(s, expected) <= tolerance<T>(depth));
    REQUIRE(s.gaps_untouched());
  });
}

TEMPLATE_TEST_CASE("row_accumulate O += p v", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for_sizes<T>([](kv_type type, heed::index rows, heed::index keys, heed::index channels) {
    const stored_matrix v(type, keys, channels, keys % 3);
    const auto p = matrix<T>::random(rows, keys, keys + channels % 3);
    const auto start = matrix<T>::random(rows, channels, channels + keys % 4);
    auto o = start, selected = start, expected = start;
    simd::row_accumulate<T, Arch>(v.rows, keys, p.begin(), p.stride, rows, channels, o.begin(),
                                  o.stride, keys % 2 ? 4096 : 0);
    simd::row_accumulate_selected<T, Arch>(v.rows, keys, p.begin(), p.stride, rows, channels,
                                           selected.begin(), o.stride);
    simd::plain::row_accumulate(v.rows, keys, p.begin(), p.stride, rows, channels, expected.begin(),
                                o.stride);
    INFO("type " << int(type) << ", rows " << rows << ", keys " << keys << ", channels "
                 << channels);
    REQUIRE(difference(o, expected) <= tolerance<T>(keys));
    REQUIRE(difference(selected, expected) <= tolerance<T>(keys));
    REQUIRE(o.gaps_untouched());
    REQUIRE(selected.gaps_untouched());
  });
}

TEMPLATE_TEST_CASE("a weight of zero hides a stored NaN and infinity", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index rows = 3, keys = 9, channels = 6;
  for (const kv_type type : types<T>()) {
    stored_matrix v(type, keys, channels, 0);
    auto p = matrix<T>::random(rows, keys, keys);
    for (heed::index r = 0; r < rows; ++r) p(r, 3) = p(r, 7) = 0;
    auto clean = matrix<T>::random(rows, channels, channels), dirty = clean;
    simd::row_accumulate<T, Arch>(v.rows, keys, p.begin(), keys, rows, channels, clean.begin(),
                                  channels);
    v.set(3, 2, std::numeric_limits<double>::quiet_NaN());
    v.set(7, 5, std::numeric_limits<double>::infinity());
    simd::row_accumulate_selected<T, Arch>(v.rows, keys, p.begin(), keys, rows, channels,
                                           dirty.begin(), channels);
    CHECK(difference(clean, dirty) <= tolerance<T>(keys));
    p(1, 3) = T(0.5);
    simd::row_accumulate_selected<T, Arch>(v.rows, keys, p.begin(), keys, rows, channels,
                                           dirty.begin(), channels);
    CHECK(std::isnan(dirty(1, 2)));
    CHECK_FALSE(std::isnan(dirty(0, 2)));
  }
}
