// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/kv/keep.hpp>
#include <map>

namespace heed::reference::kv {

/// Heavy-hitter oracle (Zhang et al., H2O) of one kv head: tokens by their number in the text, and
/// Σ over steps of the weight that each was given.
struct h2o {
  std::map<index, double> mass;
  index next = 0;

  void append(index tokens) {
    for (; tokens > 0; --tokens) mass[next++] = 0;
  }
  /// weights [tokens present], in the order of the text.
  void add(const vector& weights) {
    index i = 0;
    for (auto& [token, sum] : mass) sum += weights(i++);
  }
  /// Keeps the `heavy` tokens of largest mass and the `recent` last ones.
  void evict(index heavy, index recent) {
    vector x(static_cast<index>(mass.size()));
    indices tokens;
    for (const auto& [token, sum] : mass) {
      x(static_cast<index>(tokens.size())) = sum;
      tokens.push_back(token);
    }
    std::map<index, double> left;
    for (const index i : largest(x, heavy, recent))
      left[tokens[static_cast<std::size_t>(i)]] = x(i);
    mass = left;
  }
};

}  // namespace heed::reference::kv
