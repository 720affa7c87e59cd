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

#include <heed/segment/rows.hpp>
#include <heed/segment/walk.hpp>

namespace heed::detail {

template <class T, class Edges> class segment_sums {
 public:
  segment_sums(const csr& graph, const Edges& edges, index width)
      : edges_(&edges), width_(width), cuts_(graph) {}

  index tasks() const { return cuts_.tasks(); }
  // Elements of T that `run` needs from the shared arena.
  index kept() const { return kept_parts(cuts_) * width_; }

  void run(const executor_ref& executor, workspace& memory, T* kept) const {
    const auto left = [&](index task, bool starts) {
      return kept + kept_part(task, starts) * width_;
    };
    walk(
        cuts_, executor, memory, [&]<class Arena>(Arena& a) { return work<Arena>(*this, a); },
        [&](work<arena>& w, index task, const segment_part& part) {
          T* const own = part.whole() ? w.own : left(task, part.starts);
          std::fill_n(own, width_, T(0));
          w.edges.begin(part.node);
          for (index e = part.first; e < part.last; e += segment_block)
            w.edges.add(e, std::min(segment_block, part.last - e), own);
          if (part.whole()) w.edges.finish(part.node, own, task);
        },
        [&](work<arena>& w, index task, index node, index first) {
          T* const all = left(first, true);
          for (index t = first + 1; t <= task; ++t) {
            const T* const later = left(t, false);
            for (index c = 0; c < width_; ++c) all[c] += later[c];
          }
          w.edges.begin(node);
          w.edges.finish(node, all, task);
        });
  }

 private:
  template <class Arena> struct work {
    typename Edges::template task<Arena> edges;
    T* own;

    work(const segment_sums& loop, Arena& a)
        : edges(*loop.edges_, a), own(a.template take<T>(loop.width_)) {}
    void start(index first, index last) { edges.start(first, last); }
  };

  const Edges* edges_;
  index width_;
  segment_cuts cuts_;
};

}  // namespace heed::detail
