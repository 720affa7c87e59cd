// expect: batch_bool
// SPDX-License-Identifier: BSL-1.0
// On AVX-512 as well, where such a comparison would convert to one bool for all lanes.
#include <heed/attention/attend.hpp>
#include <limits>

int main() {
  float x[8] = {}, out[8];
  const heed::view<const float> in(x, {1, 1, 2, 4});
  const heed::view<float> to(out, {1, 1, 2, 4});
  const auto causal = [](auto s, auto at) {
    const decltype(s) never(-std::numeric_limits<float>::infinity());
#ifdef MUST_FAIL
    return at.q >= at.k ? s : never;
#else
    return heed::simd::select(at.q >= at.k, s, never);
#endif
  };
  heed::attend(heed::attention{.score = causal}, in, in, in, to);
}
