// SPDX-License-Identifier: BSL-1.0
// Executors that no result may depend on.
#pragma once

#include <algorithm>
#include <numeric>
#include <thread>

#include "support/tensor.hpp"

namespace heed::test {

/// One thread that plays many workers, tasks in a shuffled order.
struct shuffled {
  index crew = 3;
  unsigned order = seed();
  index workers() const { return crew; }
  template <class F> void for_each(index n, F&& f) const {
    std::vector<index> tasks(static_cast<std::size_t>(n));
    std::iota(tasks.begin(), tasks.end(), index{0});
    std::shuffle(tasks.begin(), tasks.end(), std::mt19937(order));
    for (const index task : tasks) f(task, (task * 7 + 3) % crew);
  }
};

/// The last task first.
struct backwards {
  index crew = 3;
  index workers() const { return crew; }
  template <class F> void for_each(index n, F&& f) const {
    for (index i = n; i-- > 0;) f(i, i % crew);
  }
};

/// A thread of its own for every worker.
struct each_thread {
  index crew;
  index workers() const { return crew; }
  template <class F> void for_each(index n, F&& f) const {
    std::vector<std::thread> threads;
    for (index w = 0; w < crew; ++w)
      threads.emplace_back([&f, n, w, this] {
        for (index i = w; i < n; i += crew) f(i, w);
      });
    for (std::thread& t : threads) t.join();
  }
};

}  // namespace heed::test
