// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <heed/simd/pack.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
namespace simd = heed::simd;

TEMPLATE_TEST_CASE("values are packed by four channels, absent ones zero", "", float, double) {
  for (heed::index keys : {0, 1, 3, 8, 13})
    for (heed::index channels : {0, 1, 2, 3, 4, 5, 8, 11, 64})
      for (heed::index gap : {0, 5}) {
        const auto v = matrix<TestType>::random(keys, channels, channels + gap);
        const heed::index groups = (channels + 3) / 4, block = 4 * (keys + 2);
        matrix<TestType> out(groups, 4 * keys, block);
        simd::pack_values(v.begin(), v.stride, keys, channels, block, out.begin());
        int wrong = 0;
        for (heed::index d = 0; d < 4 * groups; ++d)
          for (heed::index j = 0; j < keys; ++j)
            wrong += out(d / 4, 4 * j + d % 4) != (d < channels ? v(j, d) : TestType(0));
        INFO("keys " << keys << ", channels " << channels);
        CHECK(wrong == 0);
        CHECK(out.gaps_untouched());
      }
}

TEMPLATE_TEST_CASE("a single number that is not finite is found", "", float, double) {
  using limits = std::numeric_limits<TestType>;
  for (heed::index channels : {1, 7, 8, 9, 20}) {
    auto v = matrix<TestType>::random(5, channels, channels + 3);
    v(2, 0) = limits::max(), v(3, 0) = limits::lowest(), v(4, 0) = limits::denorm_min();
    CHECK(simd::all_finite(v.begin(), v.stride, 5, channels));
    for (TestType bad : {limits::quiet_NaN(), limits::infinity(), -limits::infinity()})
      for (heed::index r = 0; r < 5; ++r)
        for (heed::index c = 0; c < channels; ++c) {
          auto broken = v;
          broken(r, c) = bad;
          REQUIRE_FALSE(simd::all_finite(broken.begin(), v.stride, 5, channels));
        }
  }
  CHECK(simd::all_finite(static_cast<const TestType*>(nullptr), 0, 0, 5));
}

TEST_CASE(
    "an operand can be read in place if its type and channel stride are those of the kernel") {
  double d = 0;
  float f = 0;
  CHECK(simd::stored_as<float>(heed::operand(heed::view<float>(&f, {1, 1, 1, 1}))));
  CHECK_FALSE(simd::stored_as<float>(heed::operand(heed::view<double>(&d, {1, 1, 1, 1}))));
  CHECK_FALSE(
      simd::stored_as<float>(heed::operand(heed::view<float>(&f, {1, 1, 1, 1}, {0, 0, 0, 2}))));
}

TEST_CASE("row transforms are applied in order, told where they are") {
  const auto add = [](auto* row, heed::index depth, const heed::row_position& at) {
    for (heed::index i = 0; i < depth; ++i) row[i] += static_cast<float>(at.pos);
  };
  struct twice {
    void operator()(float* row, heed::index depth, const heed::row_position&) const {
      for (heed::index i = 0; i < depth; ++i) row[i] *= 2;
    }
  };
  float row[3] = {1, 2, 3};
  simd::transform_row<simd::scalar>(heed::none{}, row, 3, heed::row_position{.pos = 10});
  CHECK(row[2] == 3);
  simd::transform_row<simd::scalar>(heed::chain{add, twice{}}, row, 3,
                                    heed::row_position{.pos = 10});
  CHECK((row[0] == 22 && row[1] == 24 && row[2] == 26));
}
