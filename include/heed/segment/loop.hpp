// SPDX-License-Identifier: BSL-1.0
// The segment loop: a softmax over the edges that come to a node and the sum of the values that it
// weighs, in one pass over the edges.
//
//   task                  some hundred edges or more (cuts.hpp)
//     for each node       begin: what all its edges share, as its row of queries
//       for each 16 edges
//         s = scores      [head][edge], lanes along channels
//         p = absorb(s)   lanes along edges; state and factor a head
//         o += values     lanes along channels
//     whole               finished and written
//     cut                 its state kept, merged in the order of tasks once all tasks are done
//
// What scores and values are is told by `Edges`:
//   Edges::task<Arena> t(edges, arena)  once a task, with scratch from an arena (or `arena_size`)
//   t.start(first, last)                the task's edges, to ask for their rows
//   t.begin(node)
//   t.scores(first, count, s)           logits of edges first … first + count - 1
//   t.values(first, count, p, o)        o [H][Dv] += Σ_j p[h][j] v_j
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/segment/kernels.hpp>
#include <heed/segment/problem.hpp>
#include <heed/segment/state.hpp>
#include <heed/segment/walk.hpp>

namespace heed::detail {

template <class T, class Arch, class Edges> class segment_loop {
  using state = segment_state<T, Arch>;

 public:
  segment_loop(const csr& graph, const Edges& edges, index heads, index depth, const operand& null,
               const edge_outputs& to)
      : graph_(&graph),
        edges_(&edges),
        heads_(heads),
        width_(heads * depth),
        null_(null),
        to_(to),
        cuts_(graph),
        direct_(to.out.type == element_of<T>::value && to.out.stride[3] == 1) {}

  // Elements of T that `run` needs from the shared arena.
  index kept() const { return kept_parts(cuts_) * state::size(heads_, width_); }

  void run(const executor_ref& executor, workspace& memory, T* kept) const {
    if (graph_->nodes() == 0 || heads_ == 0) return;
    const auto left = [&](index task, bool starts) {
      return state::at(kept + kept_part(task, starts) * state::size(heads_, width_), heads_,
                       width_);
    };
    walk(
        cuts_, executor, memory, [&]<class Arena>(Arena& a) { return work<Arena>(*this, a); },
        [&](work<arena>& w, index task, const segment_part& part) {
          const state to = part.whole() ? w.own : left(task, part.starts);
          gather(w, part, to);
          if (part.whole()) finish(part.node, to, w.row);
        },
        [&](work<arena>& w, index task, index node, index first) {
          const state all = left(first, true);
          for (index t = first + 1; t <= task; ++t) all.merge(left(t, false));
          finish(node, all, w.row);
        });
  }

 private:
  template <class Arena> struct work {
    typename Edges::template task<Arena> edges;
    state own;
    T *s, *row;

    work(const segment_loop& loop, Arena& a)
        : edges(*loop.edges_, a),
          own(state::at(a.template take<T>(state::size(loop.heads_, loop.width_)), loop.heads_,
                        loop.width_)),
          s(a.template take<T>(loop.heads_ * segment_block)),
          row(a.template take<T>(std::max(loop.heads_, loop.width_))) {}
    void start(index first, index last) { edges.start(first, last); }
  };

  void gather(work<arena>& w, const segment_part& part, const state& to) const {
    to.clear();
    if (part.starts && null_.present())
      for (index h = 0; h < heads_; ++h)
        to.start(h, broadcast::element<T>(null_, 0, h, part.node, 0));
    if (part.first == part.last) return;
    w.edges.begin(part.node);
    for (index e = part.first; e < part.last; e += segment_block) {
      const index count = std::min(segment_block, part.last - e);
      w.edges.scores(e, count, w.s);
      to.absorb(w.s, count);
      if (width_ > 0) w.edges.values(e, count, w.s, to.value);
    }
  }

  void finish(index node, const state& from, T* row) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const index depth = width_ / heads_;
    for (index h = 0; h < heads_ && depth > 0; ++h) {
      const T share = from.share(h), *const sum = from.value + h * depth;
      T* const at = direct_ ? static_cast<T*>(to_.out.row(0, h, node)) : row;
      index c = 0;
      for (; c + W <= depth; c += W)
        simd::store(at + c, B(simd::load<T, Arch>(sum + c) * B(share)));
      for (; c < depth; ++c) at[c] = sum[c] * share;
      if (!direct_)
        simd::store_row(to_.out.type, row, depth, to_.out.row(0, h, node), to_.out.stride[3]);
    }
    if (!to_.lse.present()) return;
    for (index h = 0; h < heads_; ++h) {
      const T lse = from.lse(h);
      simd::store_row(to_.lse.type, &lse, 1, to_.lse.row(0, h, node), 1);
    }
  }

  const csr* graph_;
  const Edges* edges_;
  index heads_, width_;
  operand null_;
  edge_outputs to_;
  segment_cuts cuts_;
  bool direct_;
};

}  // namespace heed::detail
