// SPDX-License-Identifier: BSL-1.0
// Rounds of random calls: HEED_FUZZ_SECONDS and HEED_FUZZ_SEED as in fuzz/run.hpp.
#pragma once

#include <chrono>
#include <cstdio>

#include "fuzz/memory.hpp"
#include "fuzz/setting.hpp"
#include "support/catch.hpp"

namespace heed::fuzz {

// one(random) a round.
template <class F> void fuzz_rounds(const char* name, F one) {
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
