// SPDX-License-Identifier: BSL-1.0
// Every node of a graph with its edges, by the tasks of cuts.hpp: a node that is cut has a state
// for each part, and the states are merged in their order. Same bits for any number of threads.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/segment/cuts.hpp>
#include <optional>

namespace heed::detail {

// What is done at a node. A state is `state()` numbers.
//   rooms(memory, work)                 scratch of a worker
//   begin(state)                        no edges yet
//   edges(rooms, state, node, first, last)
//   merge(state, later)                 a later part of the same node
//   finish(rooms, state, node, task)    once a node; of a task, one at a time and in one order
template <class W, class T>
concept node_work = requires(const W& w, typename W::rooms& r, T* s, const T* later, index i) {
  { w.state() } -> std::convertible_to<index>;
  w.begin(s);
  w.edges(r, s, i, i, i);
  w.merge(s, later);
  w.finish(r, s, i, i);
};

template <class T> class node_visit {
 public:
  // `most` tasks, but for nodes that are cut.
  node_visit(const csr& graph, index state, index most = 512)
      : cuts_(graph, 512, most), state_(state) {}

  index tasks() const { return cuts_.tasks(); }
  template <class Memory> void take(Memory& from) {
    parts_ = from.template take<T>(cuts_.any() ? 2 * tasks() * state_ : 0);
  }

  template <node_work<T> Work>
  void run(const Work& work, const executor_ref& executor, workspace& memory) const {
    memory.crew(executor.workers());
    executor.for_each(tasks(), [&](index task, index worker) {
      scratch<Work> own(memory.worker(worker), work, state_);
      cuts_.for_each(task, [&](const segment_part& p) {
        T* const state = p.whole() ? own.state : part(task, p.starts);
        work.begin(state);
        work.edges(*own.rooms, state, p.node, p.first, p.last);
        if (p.whole()) work.finish(*own.rooms, state, p.node, task);
      });
    });
    if (!cuts_.any()) return;
    executor.for_each(tasks(), [&](index task, index worker) {
      cuts_.for_merge(task, [&](index node, index first) {
        scratch<Work> own(memory.worker(worker), work, state_);
        T* const state = part(first, true);
        for (index t = first + 1; t <= task; ++t) work.merge(state, part(t, false));
        work.finish(*own.rooms, state, node, task);
      });
    });
  }

 private:
  template <class Work> struct scratch {
    T* state = nullptr;
    std::optional<typename Work::rooms> rooms;
    scratch(arena& from, const Work& work, index size) {
      arena_size sum;
      sum.take<T>(size);
      typename Work::rooms(sum, work);
      from.reserve(sum.bytes());
      state = from.take<T>(size);
      rooms.emplace(from, work);
    }
  };
  // A task has at most two parts of nodes that are cut: one that starts in it, one that does not.
  T* part(index task, bool starts) const { return parts_ + (2 * task + (starts ? 1 : 0)) * state_; }

  segment_cuts cuts_;
  index state_;
  T* parts_ = nullptr;
};

}  // namespace heed::detail
