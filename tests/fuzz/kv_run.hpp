// SPDX-License-Identifier: BSL-1.0
// Rounds of random caches: HEED_FUZZ_SECONDS and HEED_FUZZ_SEED as in fuzz/run.hpp.
#pragma once

#include <chrono>
#include <cstdio>

#include "fuzz/kv_rows.hpp"
#include "fuzz/setting.hpp"

namespace heed::fuzz {

inline kv_shape draw_kv_shape(engine& random) {
  return {.batch = between(random, 1, 4),
          .heads = between(random, 1, 3),
          .depth = between(random, 1, one_in(random, 3) ? 70 : 9),
          .value_depth = between(random, 0, one_in(random, 3) ? 70 : 9)};
}

// one(random) a round.
template <class F> void fuzz_kv(const char* name, F one) {
  using clock = std::chrono::steady_clock;
  const double seconds = setting("HEED_FUZZ_SECONDS", 20) / 20;
  const auto start = clock::now();
  auto round = static_cast<unsigned long>(setting("HEED_FUZZ_SEED", 20240229));
  long rounds = 0;
  do {
    INFO(name << ", HEED_FUZZ_SEED=" << round);
    engine random(static_cast<unsigned>(round * 64));
    one(random);
    ++round, ++rounds;
  } while (std::chrono::duration<double>(clock::now() - start).count() < seconds);
  std::printf("%s: %ld rounds\n", name, rounds);
}

}  // namespace heed::fuzz
