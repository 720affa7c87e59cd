// SPDX-License-Identifier: BSL-1.0
// Every node of a graph with its edges, by the tasks of cuts.hpp: a node that is cut has a state
// for each part, and the states are merged in their order. Same bits for any number of threads.
#pragma once

#include <heed/segment/walk.hpp>

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
    parts_ = from.template take<T>(kept_parts(cuts_) * state_);
  }

  template <node_work<T> Work>
  void run(const Work& work, const executor_ref& executor, workspace& memory) const {
    const auto left = [&](index task, bool starts) {
      return parts_ + kept_part(task, starts) * state_;
    };
    using own = scratch<Work>;
    walk(
        cuts_, executor, memory, [&](auto& from) { return own(from, work, state_); },
        [&](own& w, index task, const segment_part& p) {
          T* const state = p.whole() ? w.state : left(task, p.starts);
          work.begin(state);
          work.edges(w.rooms, state, p.node, p.first, p.last);
          if (p.whole()) work.finish(w.rooms, state, p.node, task);
        },
        [&](own& w, index task, index node, index first) {
          T* const state = left(first, true);
          for (index t = first + 1; t <= task; ++t) work.merge(state, left(t, false));
          work.finish(w.rooms, state, node, task);
        });
  }

 private:
  template <class Work> struct scratch {
    T* state;
    typename Work::rooms rooms;
    template <class Memory>
    scratch(Memory& from, const Work& work, index size)
        : state(from.template take<T>(size)), rooms(from, work) {}
    void start(index, index) {}
  };

  segment_cuts cuts_;
  index state_;
  T* parts_ = nullptr;
};

}  // namespace heed::detail
