// SPDX-License-Identifier: BSL-1.0
// What decoding is measured against: how fast threads can read memory that is in no cache.
#pragma once

#include "crew.hpp"
#include "peak.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace bench {

namespace detail {

// Sums `Streams` runs of `length` floats, `length` apart, four vectors of each in turn; `ahead`
// asks for what lies that many bytes further on.
template <std::size_t Streams, bool Ahead>
[[gnu::noinline]] float read_streams(const float* data, std::size_t length) {
  constexpr std::size_t ahead = 1024 / sizeof(float), step = 4 * lanes::size;
  std::array<lanes, 8> sum;
  sum.fill(lanes(0.f));
  for (std::size_t at = 0; at + step <= length; at += step)
    for (std::size_t stream = 0; stream < Streams; ++stream) {
      const float* const p = data + stream * length + at;
      if constexpr (Ahead)
        for (std::size_t line = 0; line < step; line += 16)
          __builtin_prefetch(p + ahead + line, 0, 3);
      for (std::size_t i = 0; i < 4; ++i)
        sum[i + 4 * (stream % 2)] += lanes::load_aligned(p + i * lanes::size);
    }
  lanes total = sum[0];
  for (std::size_t i = 1; i < sum.size(); ++i) total += sum[i];
  std::array<float, lanes::size> out;
  total.store_unaligned(out.data());
  return out[0];
}

using reader = float (*)(const float*, std::size_t);
inline constexpr struct {
  std::size_t streams;
  reader read;
} readers[] = {{1, read_streams<1, false>}, {1, read_streams<1, true>},
               {2, read_streams<2, false>}, {2, read_streams<2, true>},
               {4, read_streams<4, false>}, {4, read_streams<4, true>},
               {8, read_streams<8, false>}, {8, read_streams<8, true>}};

}  // namespace detail

// Bytes a second that `threads` read together, from the first one's start to the last one's end, by
// the pattern that does best. Every thread reads a part of its own of 512 MiB, in blocks of half a
// MiB.
inline double read_bandwidth(int threads, int rounds = 1) {
  constexpr std::size_t block = std::size_t{1} << 17, blocks = 1024;  // floats
  // A margin for what is asked for in advance.
  static const buffer<float> memory(blocks * block + 4096, 1.0f);
  static std::map<int, std::unique_ptr<crew>> crews;
  auto& team = crews[threads];
  if (!team) team = std::make_unique<crew>(threads);

  const auto once = [&](std::size_t streams, detail::reader read) {
    const auto count = static_cast<std::size_t>(threads);
    std::atomic<int> waiting{threads};
    std::vector<double> start(count), stop(count);
    team->each(threads, [&](index part, int) {
      const auto t = static_cast<std::size_t>(part);
      waiting.fetch_sub(1);
      while (waiting.load() > 0) {
      }
      start[t] = now();
      for (std::size_t b = t * blocks / count; b < (t + 1) * blocks / count; ++b)
        detail::sink = read(memory.data() + b * block, block / streams);
      stop[t] = now();
    });
    const double seconds =
        *std::max_element(stop.begin(), stop.end()) - *std::min_element(start.begin(), start.end());
    return static_cast<double>(blocks * block * sizeof(float)) / seconds;
  };
  const leading here(threads);
  double best = 0;
  for (int round = 0; round < rounds; ++round)
    for (const auto& [streams, read] : detail::readers) best = std::max(best, once(streams, read));
  return best;
}

}  // namespace bench
