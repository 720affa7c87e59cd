// SPDX-License-Identifier: BSL-1.0
#include "support/peak.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

// The two yardsticks every other bench divides by: FMA peak and read bandwidth.
int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--smoke") {
    return bench::fma_rate(1, 1) > 0 && bench::read_rate(1 << 14, 1, 1) > 0 ? 0 : 1;
  }
  for (const int threads : {1, 2}) {
    const std::string suffix = "/t" + std::to_string(threads);
    benchmark::RegisterBenchmark(("peak/fma" + suffix).c_str(),
                                 [threads](benchmark::State& state) {
                                   for (auto _ : state) {
                                     state.counters["gflops"] = bench::fma_rate(threads) * 1e-9;
                                   }
                                 })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
    for (const bench::memory_level& level : bench::memory_levels()) {
      const std::string name = std::string("peak/read/") + level.name + suffix;
      benchmark::RegisterBenchmark(name.c_str(),
                                   [threads, level](benchmark::State& state) {
                                     for (auto _ : state) {
                                       state.counters["gbps"] =
                                           bench::read_rate(level.bytes, threads) * 1e-9;
                                     }
                                   })
          ->Iterations(1)
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
