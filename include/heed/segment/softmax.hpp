// SPDX-License-Identifier: BSL-1.0
// segment/softmax: logits of edges become weights, a softmax over the edges that come to a node:
//
//   α_e = c_e² w_e e^{l_e + prior_e} / (Σ_e' c² w e^{l + prior} + e^{null} + softplus(ζ) + ε)
//
// All but the logits may be left out; ε counts only beside ζ. DPA4 has the cutoff envelope c in
// [0,1], the weight w >= 0 and the sink ζ. An edge whose c or w is 0 weighs exactly 0.
//
//   normalize_edges(segment_softmax{.graph = g}, logits, {.out = alpha, .lse = lse})
//
// logits, α [1,H,E,1]: [E,H] as<"LH">. lse is the logarithm of the denominator. Streams logits once
// where a node's edges stay in cache.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/segment/cuts.hpp>
#include <heed/segment/problem.hpp>
#include <heed/segment/state.hpp>
#include <heed/simd/softplus.hpp>

namespace heed {

struct segment_softmax {
  csr graph{};                          // its sources take no part
  operand prior{}, weight{}, cutoff{};  // [1,H|1,E,1]
  operand null{}, sink{};               // [1,H|1,N|1,1]: a logit, ζ
  double epsilon = 0;

  struct gradient {
    result prior{}, weight{}, cutoff{}, null{}, sink{};
  };
};

namespace detail {

template <class T, class Arch> class softmax_loop {
  using state = segment_state<T, Arch>;

 public:
  softmax_loop(const segment_softmax& spec, const operand& logits, const edge_outputs& to)
      : spec_(&spec), logits_(logits), to_(to), cuts_(spec.graph), heads_(logits.extent[1]) {}

  void run(const executor_ref& executor, workspace& memory) const {
    if (spec_->graph.nodes() == 0 || heads_ == 0) return;
    const index slot = state::size(heads_, 0), tasks = cuts_.tasks();
    const auto kept_size = static_cast<std::size_t>(cuts_.any() ? 2 * tasks * slot : 0) * sizeof(T);
    memory.shared().reserve(kept_size);
    T* const kept = memory.shared().take<T>(cuts_.any() ? 2 * tasks * slot : 0);
    arena_size size;
    work(*this, size);
    memory.crew(executor.workers());
    executor.for_each(tasks, [&](index task, index worker) {
      arena& a = memory.worker(worker);
      a.reserve(size.bytes());
      const work w(*this, a);
      cuts_.for_each(task, [&](const segment_part& part) {
        const state to =
            part.whole() ? w.own : state::at(kept + (2 * task + part.starts) * slot, heads_, 0);
        gather(w, part, to);
        if (part.whole()) finish(w, part, to);
      });
    });
    // Every part of a cut node merges all of them: some hundred numbers a head.
    if (cuts_.any())
      executor.for_each(tasks, [&](index task, index worker) {
        arena& a = memory.worker(worker);
        a.reserve(size.bytes());
        const work w(*this, a);
        cuts_.for_each(task, [&](const segment_part& part) {
          if (part.whole()) return;
          const auto [first, last] = cuts_.tasks_of(part.node);
          w.own.clear();
          for (index t = first; t <= last; ++t)
            w.own.merge(state::at(kept + (2 * t + (t == first)) * slot, heads_, 0));
          finish(w, part, w.own);
        });
      });
  }

 private:
  struct work {
    state own;
    T *s, *row, *lse;

    template <class Arena>
    work(const softmax_loop& loop, Arena& a)
        : own(state::at(a.template take<T>(state::size(loop.heads_, 0)), loop.heads_, 0)),
          s(a.template take<T>(loop.heads_ * segment_block)),
          row(a.template take<T>(std::max(loop.heads_, segment_block))),
          lse(a.template take<T>(loop.heads_)) {}
  };

  void gather(const work& w, const segment_part& part, const state& to) const {
    to.clear();
    if (part.starts)
      for (index h = 0; h < heads_; ++h) to.start(h, null_logit<T>(*spec_, h, part.node));
    for (index e = part.first; e < part.last; e += segment_block) {
      const index count = std::min(segment_block, part.last - e);
      edge_logits(*spec_, logits_, e, count, w.row, w.s);
      to.absorb(w.s, count);
    }
  }
  void finish(const work& w, const segment_part& part, const state& from) const {
    if (to_.lse.present() || part.last - part.first > segment_block || !part.whole())
      for (index h = 0; h < heads_; ++h) w.lse[h] = from.lse(h);
    // One block is still there, relative to the maximum.
    if (part.whole() && part.last - part.first <= segment_block) {
      const index count = part.last - part.first;
      for (index h = 0; h < heads_; ++h) {
        const T share = from.share(h);
        for (index j = h * segment_block; j < h * segment_block + count; ++j) w.s[j] *= share;
      }
      store_edges(to_.out, part.first, count, heads_, w.row, w.s);
    } else {
      for (index e = part.first; e < part.last; e += segment_block) {
        const index count = std::min(segment_block, part.last - e);
        edge_logits(*spec_, logits_, e, count, w.row, w.s);
        edge_weights<T, Arch>(w.s, w.lse, count, heads_);
        store_edges(to_.out, e, count, heads_, w.row, w.s);
      }
    }
    if (part.starts && to_.lse.present())
      simd::store_row(to_.lse.type, w.lse, heads_, to_.lse.row(0, 0, part.node), to_.lse.stride[1]);
  }

 public:
  template <class U> static U null_logit(const segment_softmax& spec, index h, index node) {
    const auto at = [&](const operand& x) { return broadcast::element<U>(x, 0, h, node, 0); };
    constexpr U none = -std::numeric_limits<U>::infinity();
    const U null = spec.null.present() ? at(spec.null) : none;
    if (!spec.sink.present()) return null;
    // Softplus is e^ζ far below 0, which a U may not hold; its logarithm is ζ.
    const U zeta = at(spec.sink);
    const U sink = spec.epsilon == 0 && zeta < U(-40)
                       ? zeta
                       : std::log(simd::softplus(zeta) + U(spec.epsilon));
    const U top = std::max(null, sink);
    return top == none ? none : top + std::log(std::exp(null - top) + std::exp(sink - top));
  }
  // s[h][j] = l + prior + log(c² w)
  static void edge_logits(const segment_softmax& spec, const operand& logits, index first,
                          index count, T* row, T* s) {
    const index H = logits.extent[1];
    load_edges(logits, first, count, H, row, s);
    add_edges(spec.prior, first, count, H, row, s);
    add_edges(spec.weight, first, count, H, row, s, [](T w) { return std::log(w); });
    add_edges(spec.cutoff, first, count, H, row, s, [](T c) { return 2 * std::log(std::abs(c)); });
  }

 private:
  const segment_softmax* spec_;
  operand logits_;
  edge_outputs to_;
  segment_cuts cuts_;
  index heads_;
};

inline void check_softmax(const char* operation, const segment_softmax& spec,
                          const operand& logits) {
  const index H = logits.extent[1], N = spec.graph.nodes();
  const extents each{1, H, spec.graph.edges(), 1};
  check_rows(operation, {"logits", logits}, each);
  check_table(operation, {"prior", spec.prior}, each);
  check_table(operation, {"weight", spec.weight}, each);
  check_table(operation, {"cutoff", spec.cutoff}, each);
  check_table(operation, {"null", spec.null}, {1, H, N, 1});
  check_table(operation, {"sink", spec.sink}, {1, H, N, 1});
  spec.graph.check(operation, std::numeric_limits<int>::max());
}

template <class T, class Arch>
HEED_NOINLINE void softmax_any(const segment_softmax& spec, const operand& logits,
                               const edge_outputs& to, const executor_ref& executor,
                               const workspace_ref& scratch) {
  constexpr const char* operation = "heed::normalize_edges(segment_softmax)";
  check_softmax(operation, spec, logits);
  check_rows(operation, {"out", to.out}, logits.extent);
  check_optional(operation, {"lse", to.lse}, {1, logits.extent[1], spec.graph.nodes(), 1});
  workspace own;
  softmax_loop<T, Arch>(spec, logits, to).run(executor, scratch.scratch ? *scratch.scratch : own);
}

}  // namespace detail

// Computes in the type of the logits if that is double, else in float. Same bits for any executor.
// Throws std::invalid_argument, before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable L>
void normalize_edges(const segment_softmax& spec, const view<L>& logits, const edge_outputs& to,
                     const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::softmax_any<compute_type<L>, Arch>(spec, view<const L>(logits), to, executor, scratch);
}

}  // namespace heed
