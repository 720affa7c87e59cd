// SPDX-License-Identifier: BSL-1.0
// Executors and workspaces that results must not depend on.
#pragma once

#include <atomic>
#include <cstring>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <thread>

#include "fuzz/memory.hpp"
#include "support/catch.hpp"

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

// run(executor, workspace) writes `to`: the same bits, whoever runs it, and nothing beside it.
template <class Run>
void same_bits(engine& random, workspace& scratch, const std::vector<memory*>& to, const Run& run) {
  std::vector<memory> before, first;
  for (const memory* m : to) before.push_back(*m);
  run(executor_ref{}, workspace_ref{scratch});
  for (const memory* m : to) first.push_back(*m);
  const auto again = [&](const auto& executor) {
    for (std::size_t i = 0; i < to.size(); ++i) *to[i] = before[i];
    poison(scratch);
    run(executor_ref{executor}, workspace_ref{scratch});
    for (std::size_t i = 0; i < to.size(); ++i) {
      INFO("output " << i << " of " << executor.workers() << " workers");
      const bool same = to[i]->bytes == first[i].bytes;
      REQUIRE(same);
      REQUIRE(to[i]->rest_untouched());
    }
  };
  again(threads{1}), again(threads{2}), again(threads{5});
  again(shuffled{between(random, 1, 7), &random});
}

}  // namespace heed::fuzz
