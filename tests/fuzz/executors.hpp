// SPDX-License-Identifier: BSL-1.0
// Executors and workspaces that results must not depend on.
#pragma once

#include <atomic>
#include <cstring>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <thread>

#include "fuzz/memory.hpp"

namespace heed::fuzz {

// Any order, any worker.
struct shuffled {
  index crew;
  engine* random;
  index workers() const { return crew; }
  template <class F> void for_each(index n, F&& f) const {
    std::vector<index> order(static_cast<std::size_t>(n));
    for (index i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), *random);
    for (const index i : order) f(i, between(*random, 0, crew - 1));
  }
};

inline void poison(workspace& scratch) {
  scratch.for_each_arena([](arena& a) {
    if (a.capacity() > 0) std::memset(a.data(), 0xff, a.capacity());
  });
}

// As many threads; whichever comes first takes the next task.
struct threads {
  index count;
  index workers() const { return count; }
  template <class F> void for_each(index n, F&& f) const {
    std::atomic<index> next{0};
    std::vector<std::jthread> crew;
    for (index w = 0; w < count; ++w)
      crew.emplace_back([&, w] {
        for (index i = next++; i < n; i = next++) f(i, w);
      });
  }
};

}  // namespace heed::fuzz
