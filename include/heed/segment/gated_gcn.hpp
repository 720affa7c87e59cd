// SPDX-License-Identifier: BSL-1.0
// segment/gated_gcn: messages behind gates of their own, channel by channel, which no softmax ties
// together (Bresson and Laurent, 2017; the layer of GPS, Rampášek et al., 2022).
//
//   attend_edges(gated_gcn{.graph = g, .target = d, .source = e, .edge = c}, a, b,
//                {.out = out, .gate = eta})
//
//   η_e = σ(d_i + e_j + c_e)     out_i = a_i + Σ_e η_e ⊙ b_j / (Σ_e η_e + 1e-6),   edges e: j → i
//
// Rows are projected already: a = A x, d = D x of destinations [1,H,N,C], b = B x, e = E x of
// sources [1,H,M,C], c = C e of edges [1,H,E,C] or nothing; a may be nothing as well, an operand
// without data.
#pragma once

#include <heed/segment/gated_gcn_edges.hpp>

namespace heed {

namespace detail {

template <class T, class Arch> struct gated_gcn_forward : gated_gcn_edges<T, Arch> {
  using base = gated_gcn_edges<T, Arch>;
  using typename base::rooms;
  gated_gcn_outputs to;

  index piece() const { return this->p.heads() * this->p.depth(); }
  index state() const { return 2 * piece(); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index depth = this->p.depth();
    for (index e = first; e < last; ++e) {
      const index j = this->p.graph().source(e);
      const index next = this->p.graph().source(std::min(e + edges_ahead, last - 1));
      ask_row(r.b, next), ask_row(r.e, next);
      for (index h = 0; h < this->p.heads(); ++h) {
        T *const gates = s + h * depth, *const sum = gates + piece();
        const T* const b = r.b(h, j);
        this->gate(r, h, node, e, j);
        each_channel<T, Arch>(depth, [&]<class A>(index c, A) {
          using B = simd::batch<T, A>;
          const B eta = simd::load<T, A>(r.eta + c);
          simd::store(gates + c, B(simd::load<T, A>(gates + c) + eta));
          simd::store(sum + c, simd::fma(eta, simd::load<T, A>(b + c), simd::load<T, A>(sum + c)));
        });
        write_row(to.gate, h, e, r.eta);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms& r, T* s, index node, index) const {
    const index depth = this->p.depth();
    for (index h = 0; h < this->p.heads(); ++h) {
      T *const gates = s + h * depth, *const sum = gates + piece();
      const T* const a = r.a.present() ? r.a(h, node) : nullptr;
      for (index c = 0; c < depth; ++c)
        sum[c] = (a ? a[c] : T(0)) + sum[c] / (gates[c] + T(least_gates));
      write_row(to.out, h, node, sum);
    }
  }
};

template <class T, class Arch>
HEED_NOINLINE void gated_gcn_any(const gated_gcn_problem& p, const gated_gcn_outputs& to,
                                 const executor_ref& executor, const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges(gated_gcn)";
  p.check(operation);
  check_rows(operation, {"out", to.out}, {1, p.heads(), p.graph().nodes(), p.depth()});
  check_optional(operation, {"gate", to.gate}, {1, p.heads(), p.graph().edges(), p.depth()});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const gated_gcn_forward<T, Arch> work{{p}, to};
  node_visit<T> visit(p.graph(), work.state());
  lay_out(memory.shared(), [&](auto& from) { visit.take(from); });
  visit.run(work, executor, memory);
}

}  // namespace detail

// Computes in float, or in double if b is double. Nodes without edges give a. Outputs must not
// overlap inputs. Same bits for any executor. Throws std::invalid_argument, before anything is
// written, if the graph or a shape is not as above.
template <class Arch = simd::best, storable B>
void attend_edges(const gated_gcn& spec, const operand& a, const view<B>& b,
                  const gated_gcn_outputs& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  detail::gated_gcn_any<compute_type<B>, Arch>({spec, a, view<const B>(b)}, to, executor, scratch);
}

}  // namespace heed
