// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <heed/core/executor.hpp>
#include <numbers>
#include <numeric>

#include "pass.hpp"

namespace decoder {

// Bits a byte over `text`: windows that overlap by half, so that all but the first bytes are told
// from at least half a context. The first byte is given.
template <class T>
double bits_a_byte(const model<T>& m, std::span<const unsigned char> text,
                   heed::executor_ref executor) {
  const index length = m.shape.context, half = length / 2;
  const index all = static_cast<index>(text.size()) - 1;
  const index windows = std::max<index>(1, (all - length + half - 1) / half + 1);
  std::vector<decoder::pass<T>> passes;
  for (index w = 0; w < std::min(executor.workers(), windows); ++w)
    passes.emplace_back(m.shape, 1, std::min(length, all));
  std::vector<double> sums(static_cast<std::size_t>(windows));
  executor.for_each(windows, [&](index w, index worker) {
    const index first = std::max<index>(0, std::min(w * half, all - length));
    const index known = w == 0 ? 0 : (w - 1) * half + length - first;
    const auto from = text.begin() + first;
    const auto size = std::min(length, all);
    const std::vector<std::int32_t> tokens(from, from + size), targets(from + 1, from + 1 + size);
    const auto& logits = passes[static_cast<std::size_t>(worker)].forward(m, tokens);
    sums[static_cast<std::size_t>(w)] = cross_entropy<T>(logits, targets, known);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0) / double(all) / std::numbers::ln2;
}

}  // namespace decoder
