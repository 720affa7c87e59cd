// SPDX-License-Identifier: BSL-1.0
// How a graph is cut into tasks: by its edges, not by its nodes, so that a hub of a million edges
// is many tasks and a million nodes without edges are too.
//
// Every node counts one more than its edges. A cut that falls within a node of at most `length`
// moves to the node's start, so only longer ones are cut, and most nodes are the work of one task
// from their first edge to their last. Cuts follow from the graph alone: results that are merged in
// the order of tasks have the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <heed/segment/csr.hpp>
#include <utility>

namespace heed::detail {

// Edges [first, last) of a node that a task works on, all of them if the node is `whole`.
struct segment_part {
  index node, first, last;
  bool starts, ends;  // whether it holds the node's first edge, its last

  bool whole() const { return starts && ends; }
};

class segment_cuts {
 public:
  explicit segment_cuts(const csr& graph, index shortest = 512, index most = 512)
      : graph_(&graph),
        total_(graph.edges() + graph.nodes()),
        length_(std::max(shortest, (total_ + most - 1) / most)) {
    for (index i = 0; i < graph.nodes() && !any_; ++i) any_ = graph.degree(i) >= length_;
  }

  // Whether a node may be cut.
  bool any() const { return any_; }
  // The edges of a task's parts, one after the other.
  std::pair<index, index> edges(index task) const { return {cut(task).edge, cut(task + 1).edge}; }
  index tasks() const { return (total_ + length_ - 1) / length_; }

  // f(part) for the parts of a task in their order; at most the first and last are not whole.
  template <class F> void for_each(index task, const F& f) const {
    const place from = cut(task), to = cut(task + 1);
    for (index i = from.node; i < graph_->nodes(); ++i) {
      const index first = i == from.node ? from.edge : graph_->begin(i);
      const bool cuts = i == to.node;
      if (i > to.node || (cuts && to.edge == graph_->begin(i))) return;
      f(segment_part{i, first, cuts ? to.edge : graph_->end(i), first == graph_->begin(i), !cuts});
      if (cuts) return;
    }
  }

  // The first and last task with a part of a node that was cut.
  std::pair<index, index> tasks_of(index node) const {
    return {key(node) / length_, (key(node + 1) - 1) / length_};
  }

  // Nodes that were cut, once each, by the task that holds their end: f(node, first task), the
  // parts being the last of the first task and the first of all further ones up to `task`.
  template <class F> void for_merge(index task, const F& f) const {
    const place from = cut(task), to = cut(task + 1);
    const bool begun = from.node < graph_->nodes() && from.edge > graph_->begin(from.node);
    if (!begun || from.node == to.node) return;
    f(from.node, tasks_of(from.node).first);
  }

 private:
  struct place {
    index node, edge;
  };
  index key(index node) const { return graph_->offsets[static_cast<std::size_t>(node)] + node; }

  // The end of a long node counts as its last edge's: a part always has edges.
  place cut(index task) const {
    const index at = std::min(task * length_, total_), nodes = graph_->nodes();
    if (at >= total_) return {nodes, graph_->edges()};
    index low = 0, high = nodes;
    while (high - low > 1) {
      const index middle = low + (high - low) / 2;
      (key(middle) <= at ? low : high) = middle;
    }
    const index begin = graph_->begin(low);
    if (graph_->degree(low) + 1 <= length_) return {low, begin};
    return {low, std::min(begin + at - key(low), graph_->end(low) - 1)};
  }

  const csr* graph_;
  index total_, length_;
  bool any_ = false;
};

}  // namespace heed::detail
