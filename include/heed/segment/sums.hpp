// SPDX-License-Identifier: BSL-1.0
// Sums over the edges that come to a node: the segment loop without a softmax. What reducers and
// gradients are made of; for sums over the edges that leave a node, take the transposed graph.
//
// What is summed is told by `Edges`:
//   Edges::task<Arena> t(edges, arena)   once a task, with scratch from an arena (or `arena_size`)
//   t.start(first, last)                 the task's edges
//   t.begin(node)                        also of a node without edges
//   t.add(first, count, own)             own [width] += what edges first … first + count - 1 give
//   t.finish(node, own, task)            once a node; the nodes of a task in a fixed order
// Parts of a node that was cut are added in the order of tasks.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/segment/cuts.hpp>
#include <heed/segment/rows.hpp>

namespace heed::detail {

template <class T, class Edges> class segment_sums {
 public:
  segment_sums(const csr& graph, const Edges& edges, index width)
      : graph_(&graph), edges_(&edges), width_(width), cuts_(graph) {}

  index tasks() const { return cuts_.tasks(); }
  // Elements of T that `run` needs from the shared arena.
  index kept() const { return cuts_.any() ? 2 * cuts_.tasks() * width_ : 0; }

  void run(const executor_ref& executor, workspace& memory, T* kept) const {
    arena_size size;
    work<arena_size> sized(*this, size);
    memory.crew(executor.workers());
    executor.for_each(cuts_.tasks(), [&](index task, index worker) {
      arena& a = memory.worker(worker);
      a.reserve(size.bytes());
      work<arena> w(*this, a);
      const auto [first, last] = cuts_.edges(task);
      w.edges.start(first, last);
      cuts_.for_each(task, [&](const segment_part& part) {
        T* const own = part.whole() ? w.own : kept + (2 * task + part.starts) * width_;
        std::fill_n(own, width_, T(0));
        w.edges.begin(part.node);
        for (index e = part.first; e < part.last; e += segment_block)
          w.edges.add(e, std::min(segment_block, part.last - e), own);
        if (part.whole()) w.edges.finish(part.node, own, task);
      });
    });
    if (!cuts_.any()) return;
    executor.for_each(cuts_.tasks(), [&](index task, index worker) {
      cuts_.for_merge(task, [&](index node, index first) {
        arena& a = memory.worker(worker);
        a.reserve(size.bytes());
        work<arena> w(*this, a);
        T* const all = kept + (2 * first + 1) * width_;
        for (index t = first + 1; t <= task; ++t)
          for (index c = 0; c < width_; ++c) all[c] += kept[2 * t * width_ + c];
        w.edges.begin(node);
        w.edges.finish(node, all, task);
      });
    });
  }

 private:
  template <class Arena> struct work {
    typename Edges::template task<Arena> edges;
    T* own;

    work(const segment_sums& loop, Arena& a)
        : edges(*loop.edges_, a), own(a.template take<T>(loop.width_)) {}
  };

  const csr* graph_;
  const Edges* edges_;
  index width_;
  segment_cuts cuts_;
};

}  // namespace heed::detail
