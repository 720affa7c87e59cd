// SPDX-License-Identifier: BSL-1.0
// segment/gin_pna: what a node hears from its neighbours, reduced in several ways at once: the
// aggregators of GIN (Xu et al., 2019) and PNA (Corso et al., 2020) on weights of attention, as in
// Graph-Aware Isomorphic Attention (Buehler, 2025).
//
//   constexpr reducer all[] = {reducer::sum, reducer::mean, reducer::max, reducer::variance};
//   aggregate_edges(gin_pna{.graph = g, .weights = as<"LH">(a), .reducers = all, .self =
//   as<"H">(eps)},
//                   x, out)
//
//   sum = ε x_i + Σ_e Â_e x_j     mean = Σ_e Â_e x_j / deg     deg = Σ_e Â_e,   edges e: j → i
//   max, min of x_j over Â_e > 0
//   variance = Σ_e Â_e (x_j - mean)² / deg                     deviation = √(variance + 1e-5)
//
// x [1,H,M,D], out [1,H,N,k·D], a run of D channels a reducer. GIN's 1 + ε is self = 1 + ε.
#pragma once

#include <cmath>
#include <heed/segment/gin_pna_state.hpp>

namespace heed {

namespace detail {

template <class T, class Arch> struct gin_pna_forward {
  gin_pna_work<T, Arch> sums;
  const result& out;

  struct rooms {
    rows_in<T> x;
    T* row;
    template <class Memory>
    rooms(Memory& from, const gin_pna_forward& f)
        : x(from, f.sums.p.x), row(from.template take<T>(f.sums.p.width())) {}
  };
  index state() const { return sums.state(); }
  void begin(T* s) const { sums.begin(s); }
  void edges(rooms& r, T* s, index, index first, index last) const {
    sums.add(s, r.x, first, last);
  }
  void merge(T* s, const T* later) const { sums.merge(s, later); }
  void finish(rooms& r, T* s, index node, index) const {
    const gin_pna_problem& p = sums.p;
    for (index h = 0; h < p.heads(); ++h) {
      T* to = r.row;
      for (const reducer kind : p.spec.reducers) {
        write(kind, sums.of(s, h), to);
        if (kind == reducer::sum && p.spec.self.present())
          add_scaled<T, Arch>(p.self<T>(h), r.x(h, node), p.depth(), to);
        to += p.depth();
      }
      write_row(out, h, node, r.row);
    }
  }

 private:
  void write(reducer kind, const gin_pna_sums<T>& from, T* to) const {
    const index depth = sums.p.depth();
    if (kind == reducer::sum || *from.mass == T(0)) {
      std::copy_n(from.sum, depth, to);
      return;
    }
    const T share = 1 / *from.mass;
    for (index c = 0; c < depth; ++c) switch (kind) {
        case reducer::sum:
          break;
        case reducer::mean:
          to[c] = from.sum[c] * share;
          break;
        case reducer::max:
          to[c] = from.most[c];
          break;
        case reducer::min:
          to[c] = from.least[c];
          break;
        case reducer::deviation:
          to[c] = std::sqrt(from.spread[c] * share + T(smallest_variance));
          break;
        case reducer::variance:
          to[c] = from.spread[c] * share;
      }
  }
};

template <class T, class Arch>
HEED_NOINLINE void aggregate_any(const gin_pna_problem& p, const result& out,
                                 const executor_ref& executor, const workspace_ref& scratch) {
  const char* const operation = "heed::aggregate_edges";
  p.check(operation);
  check_rows(operation, {"out", out}, {1, p.heads(), p.graph().nodes(), p.width()});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const gin_pna_forward<T, Arch> work{{p, false}, out};
  node_visit<T> visit(p.graph(), work.state());
  lay_out(memory.shared(), [&](auto& from) { visit.take(from); });
  visit.run(work, executor, memory);
}

}  // namespace detail

// Computes in float, or in double if x is double. Edges of weight 0 are none: what lies at their
// source is not read. Nodes without edges give zeros, but for ε x_i. `out` must not overlap inputs.
// Same bits for any executor. Throws std::invalid_argument, before anything is written, if the
// graph, a shape or a weight is not as above.
template <class Arch = simd::best, storable X>
void aggregate_edges(const gin_pna& spec, const view<X>& x, const std::type_identity_t<result>& out,
                     const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::aggregate_any<compute_type<X>, Arch>({spec, view<const X>(x)}, out, executor, scratch);
}

}  // namespace heed
