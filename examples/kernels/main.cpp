// SPDX-License-Identifier: BSL-1.0
// The micro-kernels by themselves: one panel of queries against one tile of keys, step by step as
// the tile loop does it, each step checked against its contract in plain loops.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <heed/simd/exp2.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/tile.hpp>
#include <heed/simd/tile_scalar.hpp>
#include <vector>

namespace {

namespace simd = heed::simd;

using shape = simd::shape<float, simd::best>;
constexpr heed::index W = shape::lanes, panel = shape::panel, keys = 50, depth = 40, channels = 22;

using numbers = std::vector<float>;
numbers zeros(heed::index n) { return numbers(static_cast<std::size_t>(n)); }
numbers random(heed::index n) {
  numbers x = zeros(n);
  for (float& value : x)
    value = 2 * static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX) - 1;
  return x;
}

int failures = 0;
void report(const char* name, const numbers& got, const numbers& expected, float tolerance) {
  float worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::fmax(worst, std::fabs(got[i] - expected[i]));
  const bool right = worst <= tolerance;
  failures += !right;
  std::printf("%-11s off by %.1e%s\n", name, double(worst), right ? "" : "  WRONG");
}

}  // namespace

int main() {
  std::printf("%td lanes, panels of %td queries, %td keys, D %td, Dv %td\n", W, panel, keys, depth,
              channels);
  const numbers q = random(panel * depth), k = random(keys * depth), v = random(keys * channels);

  // Queries side by side: [channel][lane].
  numbers columns = zeros(depth * panel), expected = zeros(depth * panel);
  simd::transpose<float, simd::best>(q.data(), depth, panel, depth, 0.5f, columns.data(), panel);
  for (heed::index r = 0; r < panel; ++r)
    for (heed::index c = 0; c < depth; ++c)
      expected[static_cast<std::size_t>(c * panel + r)] =
          0.5f * q[static_cast<std::size_t>(r * depth + c)];
  report("transpose", columns, expected, 0);

  // S [key][lane] = K Qᵀ.
  numbers s = zeros(keys * panel), plain = s;
  simd::scores<float, simd::best>(3, k.data(), depth, keys, columns.data(), panel, depth, s.data());
  simd::plain::scores(panel, k.data(), depth, keys, columns.data(), panel, depth, plain.data());
  report("scores", s, plain, 1e-5f);

  // P = 2^S in place.
  for (float& x : plain) x = std::exp2(x);
  for (heed::index i = 0; i < keys * panel; i += W)
    simd::store(s.data() + i, simd::exp2(simd::load<float, simd::best>(s.data() + i)));
  report("exp2", s, plain, 1e-3f);

  // Values by four channels: [channels / 4][key][4].
  constexpr heed::index groups = (channels + 3) / 4, block = 4 * keys;
  numbers packed = zeros(groups * block), fours = packed;
  simd::pack_values(v.data(), channels, keys, channels, block, packed.data());
  for (heed::index j = 0; j < keys; ++j)
    for (heed::index d = 0; d < channels; ++d)
      fours[static_cast<std::size_t>(d / 4 * block + 4 * j + d % 4)] =
          v[static_cast<std::size_t>(j * channels + d)];
  report("pack", packed, fours, 0);

  // O [channel][lane] += Vᵀ P.
  numbers o = zeros(4 * groups * panel), sums = o;
  simd::accumulate<float, simd::best>(3, s.data(), panel, keys, packed.data(), 4, block, 4 * groups,
                                      o.data());
  simd::plain::accumulate(panel, s.data(), panel, keys, packed.data(), 4, block, 4 * groups,
                          sums.data());
  report("accumulate", o, sums, 1e-2f);
  return failures == 0 ? 0 : 1;
}
