// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/gated_gcn, in three visits: of each destination for what its edges share, r
// = Σ η b / (Σ η + 1e-6) and dO / (Σ η + 1e-6); of its edges once more, dd and dc; of the edges of
// each source, db and de. Gates are computed again in each: nothing is kept an edge.
//
//   dz_e = (dO_i ⊙ (b_j - r_i) / (Σ η + 1e-6) + dη_e) η_e (1 - η_e),   z_e = d_i + e_j + c_e
//
//   attend_edges_backward(gated_gcn{…}, by_source, b, d_out, d_gate, {.da = da, .db = db, .spec =
//   {…}})
#pragma once

#include <heed/segment/gated_gcn_edges.hpp>

namespace heed {

struct gated_gcn_gradients {
  result da{}, db{};  // of destinations [1,H,N,C] and of sources; those wanted
  gated_gcn::gradient spec{};
};

namespace detail {

// What edges need of a node, [N,H] of r and dO / (Σ η + 1e-6), [C] each.
template <class T, class Arch> struct gated_gcn_slopes : gated_gcn_edges<T, Arch> {
  using base = gated_gcn_edges<T, Arch>;
  operand d_out, d_gate;
  gated_gcn_gradients to;
  const transposed* turned;
  T* nodes;

  struct rooms : base::rooms {
    rows_in<T> d_out, d_gate;
    T* dz;
    template <class Memory>
    rooms(Memory& from, const gated_gcn_slopes& g)
        : base::rooms(from, g),
          d_out(from, g.d_out),
          d_gate(from, g.d_gate),
          dz(from.template take<T>(g.p.depth())) {}
  };
  index piece() const { return this->p.heads() * this->p.depth(); }
  T* mean(index node, index h) const {
    return nodes + (node * this->p.heads() + h) * 2 * this->p.depth();
  }
  T* share(index node, index h) const { return mean(node, h) + this->p.depth(); }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, 2 * piece(), s); }
  void begin(T* s) const { std::fill_n(s, 2 * piece(), T(0)); }
  index state() const { return 2 * piece(); }

  // r.eta and r.dz
  void slope(rooms& r, index h, index node, index e, index j) const {
    this->gate(r, h, node, e, j);
    const T *const b = r.b(h, j), *const m = mean(node, h), *const by = share(node, h);
    const T* const d = r.d_gate.present() ? r.d_gate(h, e) : nullptr;
    each_channel<T, Arch>(this->p.depth(), [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      const B eta = simd::load<T, A>(r.eta + c), one(T(1));
      B x = simd::load<T, A>(by + c) * (simd::load<T, A>(b + c) - simd::load<T, A>(m + c));
      if (d) x = x + simd::load<T, A>(d + c);
      simd::store(r.dz + c, B(x * eta * (one - eta)));
    });
  }
};

template <class T, class Arch> struct gated_gcn_nodes : gated_gcn_slopes<T, Arch> {
  using base = gated_gcn_slopes<T, Arch>;
  using typename base::rooms;
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index depth = this->p.depth();
    for (index e = first; e < last; ++e)
      for (index h = 0; h < this->p.heads(); ++h) {
        T *const gates = s + h * depth, *const sum = gates + this->piece();
        const index j = this->p.graph().source(e);
        this->gate(r, h, node, e, j);
        const T* const b = r.b(h, j);
        for (index c = 0; c < depth; ++c) gates[c] += r.eta[c], sum[c] += r.eta[c] * b[c];
      }
  }
  void finish(rooms& r, const T* s, index node, index) const {
    const index depth = this->p.depth();
    for (index h = 0; h < this->p.heads(); ++h) {
      const T *const gates = s + h * depth, *const sum = gates + this->piece();
      const T* const d = r.d_out(h, node);
      T *const mean = this->mean(node, h), *const share = this->share(node, h);
      for (index c = 0; c < depth; ++c) {
        const T by = 1 / (gates[c] + T(least_gates));
        mean[c] = sum[c] * by, share[c] = d[c] * by;
      }
      write_row(this->to.da, h, node, d);
    }
  }
};

template <class T, class Arch> struct gated_gcn_by_destination : gated_gcn_slopes<T, Arch> {
  using base = gated_gcn_slopes<T, Arch>;
  using typename base::rooms;
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index depth = this->p.depth();
    for (index e = first; e < last; ++e)
      for (index h = 0; h < this->p.heads(); ++h) {
        this->slope(r, h, node, e, this->p.graph().source(e));
        add_scaled<T, Arch>(T(1), r.dz, depth, s + h * depth);
        write_row(this->to.spec.edge, h, e, r.dz);
      }
  }
  void finish(rooms&, const T* s, index node, index) const {
    for (index h = 0; h < this->p.heads(); ++h)
      write_row(this->to.spec.target, h, node, s + h * this->p.depth());
  }
};

template <class T, class Arch> struct gated_gcn_by_source : gated_gcn_slopes<T, Arch> {
  using base = gated_gcn_slopes<T, Arch>;
  using typename base::rooms;
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index depth = this->p.depth();
    for (index t = first; t < last; ++t) {
      const index e = this->turned->edge(t), i = this->turned->by_source().source(t);
      for (index h = 0; h < this->p.heads(); ++h) {
        T* const db = s + this->piece() + h * depth;
        this->slope(r, h, i, e, node);
        add_scaled<T, Arch>(T(1), r.dz, depth, s + h * depth);
        const T* const by = this->share(i, h);
        for (index c = 0; c < depth; ++c) db[c] += r.eta[c] * by[c];
      }
    }
  }
  void finish(rooms&, const T* s, index node, index) const {
    for (index h = 0; h < this->p.heads(); ++h) {
      write_row(this->to.spec.source, h, node, s + h * this->p.depth());
      write_row(this->to.db, h, node, s + this->piece() + h * this->p.depth());
    }
  }
};

template <class T, class Arch>
HEED_NOINLINE void gated_gcn_backward_any(const gated_gcn_problem& p, const transposed& turned,
                                          const operand& d_out, const operand& d_gate,
                                          const gated_gcn_gradients& to,
                                          const executor_ref& executor,
                                          const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges_backward(gated_gcn)";
  const index nodes = p.graph().nodes(), h = p.heads(), c = p.depth();
  const extents edges{1, h, p.graph().edges(), c};
  p.check(operation);
  turned.check(operation, p.graph(), p.b.extent[2]);
  check_rows(operation, {"d_out", d_out}, {1, h, nodes, c});
  check_optional(operation, {"d_gate", d_gate}, edges);
  check_optional(operation, {"da", to.da}, {1, h, nodes, c});
  check_optional(operation, {"db", to.db}, p.b.extent);
  check_optional(operation, {"the gradient of target", to.spec.target}, {1, h, nodes, c});
  check_optional(operation, {"the gradient of source", to.spec.source}, p.b.extent);
  check_optional(operation, {"the gradient of edge", to.spec.edge}, edges);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const csr by_source = turned.by_source();
  node_visit<T> down(p.graph(), 2 * h * c), up(by_source, 2 * h * c);
  T* kept = nullptr;
  const auto pieces = [&](auto& from) {
    kept = from.template take<T>(2 * nodes * h * c);
    down.take(from), up.take(from);
  };
  lay_out(memory.shared(), pieces);
  const gated_gcn_slopes<T, Arch> all{{p}, d_out, d_gate, to, &turned, kept};
  down.run(gated_gcn_nodes<T, Arch>{all}, executor, memory);
  if (to.spec.target.present() || to.spec.edge.present())
    down.run(gated_gcn_by_destination<T, Arch>{all}, executor, memory);
  if (to.spec.source.present() || to.db.present())
    up.run(gated_gcn_by_source<T, Arch>{all}, executor, memory);
}

}  // namespace detail

// d_gate [1,H,E,C] is the gradient by η, or nothing; `by_source` is transposed(spec.graph, M). Same
// bits for any executor. Throws std::invalid_argument, before anything is written, if a shape or
// the graph does not fit.
template <class Arch = simd::best, storable B>
void attend_edges_backward(const gated_gcn& spec, const transposed& by_source, const view<B>& b,
                           const operand& d_out, const operand& d_gate,
                           const gated_gcn_gradients& to, const executor_ref& executor = {},
                           const workspace_ref& scratch = {}) {
  detail::gated_gcn_backward_any<compute_type<B>, Arch>({spec, {}, view<const B>(b)}, by_source,
                                                        d_out, d_gate, to, executor, scratch);
}

}  // namespace heed
