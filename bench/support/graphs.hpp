// SPDX-License-Identifier: BSL-1.0
// Graphs of benches, and how fast the rows that their edges name can be read.
#pragma once

#include "calls.hpp"

#include <heed/segment/csr.hpp>

#include <numeric>

namespace bench {

struct graph {
  std::vector<index> offsets;
  std::vector<int> sources;

  heed::csr in() const { return {offsets, sources}; }
  index nodes() const { return in().nodes(); }
};

// Edges whose ends are drawn by weights i^(-1 / (exponent - 1)), nodes in random order.
inline graph power_law(index nodes, index edges, double exponent, bool hub) {
  const auto n = static_cast<std::size_t>(nodes);
  std::mt19937_64 bits(20240229);
  const auto unit = [&] { return double(bits() >> 11) * 0x1p-53; };
  std::vector<double> sum(n);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i)
    sum[i] = total += std::pow(double(i + 1), -1 / (exponent - 1));
  std::vector<int> name(n);
  std::iota(name.begin(), name.end(), 0);
  for (std::size_t i = n; i > 1; --i) std::swap(name[i - 1], name[bits() % i]);
  const auto draw = [&] {
    const auto at = std::upper_bound(sum.begin(), sum.end(), unit() * total) - sum.begin();
    return name[std::min(n - 1, static_cast<std::size_t>(at))];
  };
  std::vector<std::pair<int, int>> list(static_cast<std::size_t>(edges));
  for (auto& [to, from] : list) to = hub ? int(n / 2) : draw(), from = draw();
  std::sort(list.begin(), list.end());
  graph g{std::vector<index>(n + 1, 0), {}};
  for (const auto& [to, from] : list)
    ++g.offsets[static_cast<std::size_t>(to) + 1], g.sources.push_back(from);
  std::partial_sum(g.offsets.begin(), g.offsets.end(), g.offsets.begin());
  return g;
}

// Sums of rows by a list, four vectors at once, asking for rows some ahead.
[[gnu::noinline]] inline float read_rows(const float* const* tables, int count, index width,
                                         const int* list, index first, index last, index ahead) {
  using lanes = detail::lanes;
  std::array<lanes, 4> sum;
  sum.fill(lanes(0.f));
  for (index e = first; e < last; ++e)
    for (int t = 0; t < count; ++t) {
      const float* const row = tables[t] + list[e] * width;
      const float* const next = tables[t] + list[std::min(e + ahead, last - 1)] * width;
      for (index c = 0; c < width; c += 16) __builtin_prefetch(next + c);
      for (index c = 0; c < width; c += index(4 * lanes::size))
        for (std::size_t i = 0; i < 4; ++i)
          sum[i] += lanes::load_unaligned(row + c + index(i * lanes::size));
    }
  const lanes all = sum[0] + sum[1] + sum[2] + sum[3];
  std::array<float, lanes::size> out;
  all.store_unaligned(out.data());
  return out[0];
}

// Seconds in which as many threads read the rows of a list in each of `count` tables, the best of
// what was tried.
inline double seconds_to_read(const std::array<const float*, 2>& tables, index count, index width,
                              const std::vector<int>& list, int threads, crew& team) {
  constexpr index parts = 256;
  const auto rows = static_cast<index>(list.size());
  double best = 1e9;
  for (const index ahead : {2, 4, 8, 16}) {
    const leading here(threads);
    const double start = now();
    team.each(parts, [&](index part, int) {
      detail::sink = read_rows(tables.data(), static_cast<int>(count), width, list.data(),
                               part * rows / parts, (part + 1) * rows / parts, ahead);
    });
    best = std::min(best, now() - start);
  }
  return best;
}

inline std::string count(index n) {
  return n % 1000000 == 0 ? std::to_string(n / 1000000) + "m" : std::to_string(n);
}

}  // namespace bench
