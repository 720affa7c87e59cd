// SPDX-License-Identifier: BSL-1.0
// The order in which a graph is walked: the parts of every task, then, for each node that was cut,
// what its parts left, merged by the task that holds the node's end. Whatever sums over the edges
// of a node is a few lines inside.
//
//   make(memory)                     scratch of a worker, from an arena or an `arena_size`
//   work.start(first, last)          the edges of the task
//   part(work, task, p)              of a node that is not whole, what p leaves goes to kept_part
//   merge(work, task, node, first)   the parts of the tasks from `first` to `task`
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/segment/cuts.hpp>

namespace heed::detail {

// A task has at most two parts of nodes that are cut: one that starts in it, one that does not.
inline index kept_part(index task, bool starts) { return 2 * task + (starts ? 1 : 0); }
inline index kept_parts(const segment_cuts& cuts) { return cuts.any() ? 2 * cuts.tasks() : 0; }

template <class Make, class Part, class Merge>
void walk(const segment_cuts& cuts, const executor_ref& executor, workspace& memory,
          const Make& make, const Part& part, const Merge& merge) {
  arena_size size;
  make(size);
  memory.crew(executor.workers());
  const auto scratch = [&](index worker) {
    arena& a = memory.worker(worker);
    a.reserve(size.bytes());
    return make(a);
  };
  executor.for_each(cuts.tasks(), [&](index task, index worker) {
    auto work = scratch(worker);
    const auto [first, last] = cuts.edges(task);
    work.start(first, last);
    cuts.for_each(task, [&](const segment_part& p) { part(work, task, p); });
  });
  if (!cuts.any()) return;
  executor.for_each(cuts.tasks(), [&](index task, index worker) {
    cuts.for_merge(task, [&](index node, index first) {
      auto work = scratch(worker);
      merge(work, task, node, first);
    });
  });
}

}  // namespace heed::detail
