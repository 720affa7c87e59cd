// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "data.hpp"
#include "timing.hpp"

#include <xsimd/xsimd.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

// What this machine can do with the instructions this file is compiled for: multiply-adds with
// all operands in registers, and reads from each level of the memory.
namespace bench {

namespace detail {

using lanes = xsimd::batch<float>;

inline constexpr std::size_t accumulators = 12;

template <std::size_t... I>
[[gnu::noinline]] float multiply_add_chain(index steps, float start, std::index_sequence<I...>) {
  // Different starts: equal chains would be folded into one.
  std::array<lanes, sizeof...(I)> sum{lanes(start * static_cast<float>(I + 1))...};
  const lanes factor(start), term(start);
  for (index step = 0; step < steps; ++step) {
    ((sum[I] = xsimd::fma(sum[I], factor, term)), ...);
  }
  lanes total = sum[0];
  for (std::size_t i = 1; i < sum.size(); ++i) {
    total += sum[i];
  }
  std::array<float, lanes::size> out;
  total.store_unaligned(out.data());
  return out[0];
}

[[gnu::noinline]] inline float read_sum(const float* data, std::size_t count) {
  std::array<lanes, 8> sum{};
  sum.fill(lanes(0.f));
  const auto read = [&]<std::size_t... I>(std::size_t at, std::index_sequence<I...>) {
    ((sum[I] += lanes::load_aligned(data + at + I * lanes::size)), ...);
  };
  for (std::size_t at = 0; at + 8 * lanes::size <= count; at += 8 * lanes::size) {
    read(at, std::make_index_sequence<8>{});
  }
  lanes total = sum[0];
  for (std::size_t i = 1; i < sum.size(); ++i) {
    total += sum[i];
  }
  std::array<float, lanes::size> out;
  total.store_unaligned(out.data());
  return out[0];
}

inline std::atomic<float> sink{0};

// Best rate of `work(thread)`, which returns units done a second, summed over the threads of a
// round.
template <class Work> double best_rate(int threads, int rounds, const Work& work) {
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> rate(static_cast<std::size_t>(threads), 0.0);
    std::atomic<int> waiting{threads};
    const auto run = [&](int thread) {
      waiting.fetch_sub(1);
      while (waiting.load() > 0) {
      }
      rate[static_cast<std::size_t>(thread)] = work(thread);
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads; ++thread) {
      others.emplace_back(run, thread);
    }
    run(0);
    for (std::thread& other : others) {
      other.join();
    }
    double sum = 0;
    for (const double r : rate) {
      sum += r;
    }
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace detail

// Best float multiply-add rate of `rounds` short windows, in operations a second (two a
// multiply-add).
inline double fma_rate(int threads, int rounds = 20) {
  const auto work = [](int) {
    double best = 0;
    for (int window = 0; window < 5; ++window) {
      constexpr index steps = 60'000;
      const double start = now();
      detail::sink = detail::multiply_add_chain(steps, 1e-3f,
                                                std::make_index_sequence<detail::accumulators>{});
      best = std::max(best,
                      2.0 * steps * detail::accumulators * detail::lanes::size / (now() - start));
    }
    return best;
  };
  return detail::best_rate(threads, rounds, work);
}

// Best rate, in bytes a second, of reading `bytes` a thread again and again.
inline double read_rate(std::size_t bytes, int threads, int rounds = 10) {
  std::vector<buffer<float>> data;
  for (int thread = 0; thread < threads; ++thread) {
    data.emplace_back(bytes / sizeof(float), 1.0f);
  }
  const auto work = [&](int thread) {
    const buffer<float>& mine = data[static_cast<std::size_t>(thread)];
    const int passes = static_cast<int>(std::max<std::size_t>(1, (8u << 20) / bytes));
    const double seconds = seconds_per_call(
        passes, [&] { detail::sink = detail::read_sum(mine.data(), mine.size()); });
    return static_cast<double>(bytes) / seconds;
  };
  return detail::best_rate(threads, rounds, work);
}

struct memory_level {
  const char* name;
  std::size_t bytes;
};

// A working set a thread that sits well inside each level, the last far outside all caches.
inline std::array<memory_level, 4> memory_levels() {
  const auto cache = [](int name, long fallback) {
    const long bytes = ::sysconf(name);
    return static_cast<std::size_t>(bytes > 0 ? bytes : fallback);
  };
  return {{{"L1", cache(_SC_LEVEL1_DCACHE_SIZE, 32 << 10) / 2},
           {"L2", cache(_SC_LEVEL2_CACHE_SIZE, 512 << 10) / 2},
           {"L3", cache(_SC_LEVEL3_CACHE_SIZE, 32 << 20) / 8},
           {"memory", std::size_t{256} << 20}}};
}

}  // namespace bench
