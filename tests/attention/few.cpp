// SPDX-License-Identifier: BSL-1.0
#include "attention/few.hpp"

#include <heed/mask/causal.hpp>

using namespace heed::test;

TEST_CASE("every number of channels, of keys and of values") {
  each_few_shape<float>([](heed::index queries, heed::index keys) {
    for (heed::index d = 1; d <= 130; ++d) {
      check_few<float>(heed::attention<>{}, queries, keys, d, 131 - d);
      check_few<float>(heed::attention<>{}, queries, keys, d, d, {}, 1, 1, 1);
    }
  });
}

TEST_CASE("in double, and on one lane") {
  each_few_shape<double>([](heed::index queries, heed::index keys) {
    for (heed::index d : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130}) {
      check_few<double>(heed::attention<>{}, queries, keys, d, 17);
      check_few<double>(heed::attention<heed::causal>{}, queries, keys, 17, d);
      check_few<float, heed::simd::scalar>(heed::attention<>{}, queries, keys, d, 5);
    }
  });
}

TEST_CASE("any strides") {
  for (int bits = 0; bits < 16; ++bits)
    each_few_shape<float>([bits](heed::index queries, heed::index keys) {
      const layout how{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
      check_few<float>(heed::attention<>{}, queries, keys, 20, 11, how);
      check_few<float>(heed::attention<heed::causal>{}, queries, keys, 9, 32, how, 3, 6, 3);
    });
}

TEST_CASE("what a mask hides never leaks") {
  const float nan = std::nanf("");
  for (heed::index n = 2; n <= most<float, heed::simd::best>; ++n)
    for (heed::index d : {5, 16, 21}) {
      const auto size = static_cast<std::size_t>(n * d);
      std::vector<float> q(size, 0.5f), k(size, 0.25f), v(size, 2), out(size, nan);
      for (std::size_t i = size - static_cast<std::size_t>(d); i < size; ++i) k[i] = v[i] = nan;
      const heed::extents e{1, 1, n, d};
      heed::attend(heed::attention<heed::causal>{}, heed::view<const float>(q.data(), e),
                   heed::view<const float>(k.data(), e), heed::view<const float>(v.data(), e),
                   heed::view<float>(out.data(), e));
      for (std::size_t i = 0; i < size; ++i)
        CHECK((i < size - static_cast<std::size_t>(d) ? out[i] == Approx(2) : std::isnan(out[i])));
    }
}

TEST_CASE("scores far apart and far from zero") {
  for (float base : {-3000.f, 0.f, 3000.f}) {
    const float q = 1, k[] = {base, base + 200, base + 199}, v[] = {5, 1, 2};
    float out = std::nanf("");
    heed::attend(heed::attention{.scale = 1}, heed::view<const float>(&q, {1, 1, 1, 1}),
                 heed::view<const float>(k, {1, 1, 3, 1}), heed::view<const float>(v, {1, 1, 3, 1}),
                 heed::view<float>(&out, {1, 1, 1, 1}));
    // Without a fused multiply the product of a score and log2 e is rounded before the maximum is
    // taken off.
    const double rounding = heed::simd::fused ? 1e-5 : 2e-7 * (std::abs(double(base)) + 200);
    CHECK(out == Approx((1 + 2 * std::exp(-1.0)) / (1 + std::exp(-1.0))).epsilon(rounding));
  }
}

TEST_CASE("an output of several batch axes") {
  // [2,2] items of one number, the slower axis last in memory.
  const float q[] = {1, 1, 1, 1}, v[] = {1, 2, 3, 4};
  float out[4] = {};
  const heed::batch_axes axes{{1, 2, 2}, {0, 1, 2}};
  heed::result to = heed::view<float>(out, {4, 1, 1, 1});
  to.batch = &axes;
  const heed::view<const float> x(q, {4, 1, 1, 1});
  heed::attend(heed::attention<>{}, x, x, heed::view<const float>(v, {4, 1, 1, 1}), to);
  CHECK(out[0] == 1);
  CHECK(out[2] == 2);
  CHECK(out[1] == 3);
  CHECK(out[3] == 4);
}
