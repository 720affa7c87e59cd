// SPDX-License-Identifier: BSL-1.0
// observe/column_mass, its readers: which keys are sinks. All take a column mass a [B,H,Lk], such
// as the mean over later queries, a_j = Σ_{i ≥ j} p_ij / (N - j). Throw std::invalid_argument where
// there is no such key, head or batch item. O(Lk) a head.
// Gu et al. 2024.
#pragma once

#include <heed/core/broadcast.hpp>
#include <vector>

namespace heed {

namespace detail {
// The mass of one head.
inline std::vector<double> mass_of(const char* who, const operand& a, index b, index h) {
  if (b < 0 || b >= a.extent[0] || h < 0 || h >= a.extent[1])
    check::fail(who,
                "there is no batch item " + std::to_string(b) + " or head " + std::to_string(h),
                {{"a", a}});
  std::vector<double> row(static_cast<std::size_t>(a.extent[2]));
  simd::load_row(a.type, a.row(b, h, 0), a.stride[2], a.extent[2], row.data());
  return row;
}
}  // namespace detail

// The share of heads and batch items with a_key > ε. The mean over layers is the sink rate of a
// model: ε = 0.3 at 64 tokens (Gu et al., When attention sink emerges).
inline double sink_rate(const operand& a, index key, double epsilon) {
  if (key < 0 || key >= a.extent[2])
    check::fail("heed::sink_rate", "there is no key " + std::to_string(key), {{"a", a}});
  const index heads = a.extent[0] * a.extent[1];
  index sinks = 0;
  for (index b = 0; b < a.extent[0]; ++b)
    for (index h = 0; h < a.extent[1]; ++h)
      sinks += broadcast::element<double>(a, b, h, key, 0) > epsilon;
  return heads == 0 ? 0 : double(sinks) / double(heads);
}

// The keys of a head with a_j > mean_{i ≠ j} a_i + ε, ε about 3 for sums over all queries
// (sinks of diffusion language models, which move from step to step).
inline std::vector<index> outstanding(const operand& a, index b, index h, double epsilon) {
  const std::vector<double> row = detail::mass_of("heed::outstanding", a, b, h);
  double sum = 0;
  for (const double x : row) sum += x;
  std::vector<index> keys;
  for (std::size_t j = 0; j < row.size(); ++j) {
    const double others = row.size() > 1 ? (sum - row[j]) / double(row.size() - 1) : 0;
    if (row[j] > others + epsilon) keys.push_back(static_cast<index>(j));
  }
  return keys;
}

// Column degree centralisation of a head, Σ_j (max_k a_k - a_j) over its largest value for the same
// total, (n - 1) Σ_j a_j: 1 where one key takes everything, 0 where all take the same.
inline double centralisation(const operand& a, index b, index h) {
  const std::vector<double> row = detail::mass_of("heed::centralisation", a, b, h);
  double sum = 0, top = 0;
  for (const double x : row) sum += x, top = x > top ? x : top;
  const auto n = static_cast<double>(row.size());
  return sum > 0 && n > 1 ? (n * top - sum) / ((n - 1) * sum) : 0;
}

}  // namespace heed
