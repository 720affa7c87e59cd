// SPDX-License-Identifier: BSL-1.0
// Query heads on shared kv heads, and explicit positions: each head against the same head alone.
#include <algorithm>
#include <heed/attention/attend.hpp>
#include <heed/heads/grouped.hpp>
#include <heed/mask/causal.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using heed::view;

namespace {

std::vector<float> random_values(heed::index n) {
  std::mt19937 generator(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& x : values) x = uniform(generator);
  return values;
}

}  // namespace

TEST_CASE("A grouped head gives what the same head gives alone") {
  const heed::index groups = GENERATE(1, 2, 3, 8, 17), kv_heads = GENERATE(1, 2), L = 37, D = 20;
  const heed::index heads = groups * kv_heads;
  auto q = random_values(heads * L * D), k = random_values(kv_heads * L * D), v = k;
  std::vector<float> out(q.size()), alone(static_cast<std::size_t>(L * D));
  const heed::attention spec{.mask = heed::causal{}};
  heed::attend(
      spec, view<float>(q.data(), {1, heads, L, D}), view<float>(k.data(), {1, kv_heads, L, D}),
      view<float>(v.data(), {1, kv_heads, L, D}), view<float>(out.data(), {1, heads, L, D}));
  for (heed::index h = 0; h < heads; ++h) {
    const heed::index kv = heed::kv_head_of(h, {.heads = heads, .kv_heads = kv_heads});
    REQUIRE(kv == h / groups);
    heed::attend(spec, view<float>(q.data() + h * L * D, {1, 1, L, D}),
                 view<float>(k.data() + kv * L * D, {1, 1, L, D}),
                 view<float>(v.data() + kv * L * D, {1, 1, L, D}),
                 view<float>(alone.data(), {1, 1, L, D}));
    for (heed::index i = 0; i < L * D; ++i)
      REQUIRE(alone[static_cast<std::size_t>(i)] == out[static_cast<std::size_t>(h * L * D + i)]);
  }
}

TEST_CASE("An explicit offset places the queries") {
  const heed::index Lq = 5, Lk = 9, D = 4, offset = GENERATE(-1, 0, 2, 4, 20);
  auto q = random_values(Lq * D), k = random_values(Lk * D);
  std::vector<float> out(static_cast<std::size_t>(Lq * D)), expected(out.size());
  const view<float> Q(q.data(), {1, 1, Lq, D}), K(k.data(), {1, 1, Lk, D});
  heed::attend(heed::attention{.mask = heed::causal{}, .offset = offset}, Q, K, K,
               view<float>(out.data(), {1, 1, Lq, D}));
  for (heed::index i = 0; i < Lq; ++i) {
    const heed::index keys = std::clamp<heed::index>(i + offset + 1, 0, Lk);
    heed::attend(heed::attention{}, Q.slice_rows(i, 1), K.slice_rows(0, keys),
                 K.slice_rows(0, keys), view<float>(expected.data() + i * D, {1, 1, 1, D}));
  }
  for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i] == Approx(expected[i]).margin(1e-6));
}
