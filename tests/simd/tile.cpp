// SPDX-License-Identifier: BSL-1.0
// The micro-kernels against their contracts in plain loops.
#include <algorithm>
#include <heed/simd/tile.hpp>
#include <heed/simd/tile_scalar.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
namespace simd = heed::simd;

TEMPLATE_TEST_CASE("scores = K Q", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index vectors : {1, 2, 3})
    for (heed::index keys : {0, 1, 2, 3, 4, 5, 7, 8, 13, 64})
      for (heed::index depth : {0, 1, 2, 3, 5, 8, 33, 64, 80}) {
        const heed::index lanes = vectors * W, gap = keys % 3, pitch = lanes + depth % 2;
        const auto k = matrix<T>::random(keys, depth, depth + gap);
        const auto q = matrix<T>::random(depth, lanes, pitch);
        matrix<T> s(keys, lanes, pitch), expected(keys, lanes, pitch);
        simd::scores<T, Arch>(vectors, k.begin(), k.stride, keys, q.begin(), pitch, depth,
                              s.begin());
        simd::plain::scores(lanes, k.begin(), k.stride, keys, q.begin(), pitch, depth,
                            expected.begin());
        INFO("vectors " << vectors << ", keys " << keys << ", depth " << depth);
        CHECK(difference(s, expected) <= tolerance<T>(depth));
        CHECK(s.gaps_untouched());
      }
}

TEMPLATE_TEST_CASE("accumulate O += V P, values as rows and packed", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index vectors : {1, 2, 3})
    for (heed::index keys : {0, 1, 2, 3, 5, 8, 17, 64})
      for (heed::index channels : {0, 1, 2, 3, 4, 5, 7, 8, 33, 64}) {
        const heed::index lanes = vectors * W, pitch = lanes + keys % 2, gap = channels % 3;
        const auto p = matrix<T>::random(keys, lanes, pitch);
        const auto v = matrix<T>::random(keys, channels, channels + gap);
        const auto start = matrix<T>::random(channels, lanes, pitch);
        const heed::index tiles = (channels + 3) / 4;
        matrix<T> packed(tiles * keys, 4, 4);
        for (heed::index d = 0; d < 4 * tiles; ++d)
          for (heed::index j = 0; j < keys; ++j)
            packed(d / 4 * keys + j, d % 4) = d < channels ? v(j, d) : T(0);

        matrix<T> rows = start, from_packed = start, expected = start, expected_packed = start;
        simd::accumulate<T, Arch>(vectors, p.begin(), pitch, keys, v.begin(), v.stride, 4, channels,
                                  rows.begin());
        simd::accumulate<T, Arch>(vectors, p.begin(), pitch, keys, packed.begin(), 4, 4 * keys,
                                  channels, from_packed.begin());
        simd::plain::accumulate(lanes, p.begin(), pitch, keys, v.begin(), v.stride, 4, channels,
                                expected.begin());
        simd::plain::accumulate(lanes, p.begin(), pitch, keys, packed.begin(), 4, 4 * keys,
                                channels, expected_packed.begin());
        INFO("vectors " << vectors << ", keys " << keys << ", channels " << channels);
        CHECK(difference(rows, expected) <= tolerance<T>(keys));
        CHECK(difference(from_packed, expected_packed) <= tolerance<T>(keys));
        CHECK(difference(expected, expected_packed) == 0);
        CHECK(rows.gaps_untouched());
        CHECK(from_packed.gaps_untouched());
      }
}

TEMPLATE_TEST_CASE("a weight of zero hides NaN and infinity", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index lanes = 2 * simd::width<T, Arch>, keys = 9, channels = 6;
  auto p = matrix<T>::random(keys, lanes, lanes);
  auto v = matrix<T>::random(keys, channels, channels);
  for (heed::index lane = 0; lane < lanes; ++lane) p(3, lane) = p(7, lane) = 0;
  matrix<T> clean = matrix<T>::random(channels, lanes, lanes), dirty = clean;
  simd::accumulate<T, Arch>(2, p.begin(), lanes, keys, v.begin(), channels, 4, channels,
                            clean.begin());
  v(3, 2) = std::numeric_limits<T>::quiet_NaN();
  v(7, 5) = std::numeric_limits<T>::infinity();
  simd::accumulate_selected<T, Arch>(2, p.begin(), lanes, keys, v.begin(), channels, 4, channels,
                                     dirty.begin());
  CHECK(difference(clean, dirty) <= tolerance<T>(keys));
  p(3, 1) = T(0.5);
  simd::accumulate_selected<T, Arch>(2, p.begin(), lanes, keys, v.begin(), channels, 4, channels,
                                     dirty.begin());
  CHECK(std::isnan(dirty(2, 1)));
  CHECK_FALSE(std::isnan(dirty(2, 0)));
}

TEMPLATE_TEST_CASE("rescale multiplies every lane by its factor", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for (heed::index vectors : {1, 2, 3})
    for (heed::index channels : {0, 1, 5}) {
      const heed::index lanes = vectors * simd::width<T, Arch>, pitch = lanes + 2;
      const auto factor = matrix<T>::random(1, lanes, lanes);
      auto o = matrix<T>::random(channels, lanes, pitch), expected = o;
      for (heed::index d = 0; d < channels; ++d)
        for (heed::index lane = 0; lane < lanes; ++lane) expected(d, lane) *= factor(0, lane);
      simd::rescale<T, Arch>(vectors, factor.begin(), pitch, channels, o.begin());
      CHECK(difference(o, expected) == 0);
      CHECK(o.gaps_untouched());
    }
}
