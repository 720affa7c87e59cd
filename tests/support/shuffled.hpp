// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <numeric>

#include "support/tensor.hpp"

namespace heed::test {

// One thread that plays many workers, tasks in a shuffled order.
struct shuffled {
  index crew = 3;
  index workers() const { return crew; }
  template <class F> void for_each(index n, F&& f) const {
    std::vector<index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), heed::index{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(seed()));
    for (const index task : order) f(task, (task * 7 + 3) % crew);
  }
};

}  // namespace heed::test
