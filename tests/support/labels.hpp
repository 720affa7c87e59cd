// SPDX-License-Identifier: BSL-1.0
// Partitions of keys for tests.
#pragma once

#include <heed/reference/matrix.hpp>
#include <heed/weights/group_reweight.hpp>
#include <random>

#include "support/tensor.hpp"

namespace heed::test {

struct labelling {
  index batch, heads, length;
  std::vector<int> labels;

  key_groups groups() const { return {labels, batch, heads}; }
  reference::indices of(index b, index h) const {
    const auto* first = labels.data() + groups().part(b, h) * length;
    return {first, first + length};
  }
};

/// Runs of random labels in [0, groups), of `run` keys on average.
inline labelling random_labels(index batch, index heads, index length, int groups, int run) {
  labelling x{batch, heads, length, {}};
  std::mt19937 bits(seed() + 31u * static_cast<unsigned>(length));
  int label = 0;
  for (index i = 0; i < batch * heads * length; ++i) {
    if (bits() % static_cast<unsigned>(run) == 0)
      label = static_cast<int>(bits() % static_cast<unsigned>(groups));
    x.labels.push_back(label);
  }
  return x;
}

}  // namespace heed::test
