// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/version.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

#include "sum.hpp"

// Causal attention of two tokens: the first sees itself alone.
int main() {
  const std::vector<float> q{1, 0, 0, 1}, k{1, 2, 3, 4}, v{5, 6, 7, 8};
  std::vector<float> out(4);
  const heed::extents shape{1, 1, 2, 2};
  const heed::attention causal{.mask = heed::causal{}};
  heed::attend(causal, heed::view<const float>(q.data(), shape),
               heed::view<const float>(k.data(), shape), heed::view<const float>(v.data(), shape),
               heed::view<float>(out.data(), shape));

  const float weight = 1 / (1 + std::exp(-2 / std::sqrt(2.0f)));
  const bool right = std::abs(out[0] - 5) < 1e-5f && std::abs(out[1] - 6) < 1e-5f &&
                     std::abs(out[2] - (5 + 2 * weight)) < 1e-5f &&
                     std::abs(out[3] - (6 + 2 * weight)) < 1e-5f;
#if defined(CONSUMER_DISPATCHES)
  if (heed::dispatch(sum{}, q.data(), 4) != 2) return 1;
#endif
  std::printf("heed %d: %g %g %g %g\n", HEED_VERSION, out[0], out[1], out[2], out[3]);
  return right ? 0 : 1;
}
