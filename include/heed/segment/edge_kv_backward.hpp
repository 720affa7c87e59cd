// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/edge_kv. Over the edges of each destination: weights from lse, dq, and what
// edges learn; weights and dscores of edges are kept, [E,H] each, for a second visit over the edges
// of each source: dk, dv.
//
//   attend_edges_backward(edge_kv{…}, by_source, q, k, v, {.out = out, .lse = lse}, d_out,
//                         {.dq = dq, .dk = dk, .dv = dv, .spec = {.keys = d_ek, .values = d_ev}})
#pragma once

#include <heed/segment/edge_kv.hpp>
#include <heed/segment/edge_rows.hpp>
#include <heed/segment/node_visit.hpp>
#include <heed/segment/replay.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct edge_kv_gradients {
  result dq{}, dk{}, dv{};  // of the shapes of q, k, v; those wanted
  edge_kv::gradient spec{};
};

namespace detail {

template <class T, class Arch> struct edge_kv_by_destination {
  const edge_kv_problem& p;
  operand out, lse, d_out;
  const edge_kv_gradients& to;
  T *weights, *slopes;  // [E,H]

  struct rooms {
    rows_in<T> q, k, v, keys, values, out, lse, d_out;
    T *row, *delta, *top;
    template <class Memory>
    rooms(Memory& from, const edge_kv_by_destination& w)
        : q(from, w.p.q),
          k(from, w.p.k),
          v(from, w.p.v),
          keys(from, w.p.spec.keys),
          values(from, w.p.spec.values),
          out(from, w.out),
          lse(from, w.lse),
          d_out(from, w.d_out),
          row(from.template take<T>(std::max(w.p.depth(), w.p.width()))),
          delta(from.template take<T>(w.p.heads())),
          top(from.template take<T>(w.p.heads())) {}
  };
  index state() const { return p.heads() * p.depth(); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }
  void edges(rooms& r, T* dq, index node, index first, index last) const {
    const index depth = p.depth(), width = p.width(), heads = p.heads();
    const T scale = static_cast<T>(p.scale());
    for (index h = 0; h < heads && first < last; ++h) {
      r.delta[h] = edge_dot<T, Arch>(r.d_out(h, node), r.out(h, node), width);
      // -inf: every score is, and every weight 0.
      const T top = *r.lse(h, node);
      r.top[h] = top == -std::numeric_limits<T>::infinity() ? T(0) : top;
    }
    for (index e = first; e < last; ++e) {
      const index j = p.spec.graph.source(e);
      const index next = p.spec.graph.source(std::min(e + edges_ahead, last - 1));
      ask_row(r.k, next), ask_row(r.v, next);
      for (index h = 0; h < heads; ++h) {
        const T *const q = r.q(h, node), *const d = r.d_out(h, node), *const k = r.k(h, j);
        const T* const own = r.keys.present() ? r.keys(h, e) : nullptr;
        T s = edge_dot<T, Arch>(q, k, depth), dp = edge_dot<T, Arch>(d, r.v(h, j), width);
        if (own) s += edge_dot<T, Arch>(q, own, depth);
        if (r.values.present()) dp += edge_dot<T, Arch>(d, r.values(h, e), width);
        const T weight = simd::exp(T(scale * s - r.top[h]));
        const T slope = scale * weight * (dp - r.delta[h]);
        weights[e * heads + h] = weight, slopes[e * heads + h] = slope;
        add_scaled<T, Arch>(slope, k, depth, dq + h * depth);
        if (own) add_scaled<T, Arch>(slope, own, depth, dq + h * depth);
        write_scaled(to.spec.keys, h, e, slope, q, depth, r.row);
        write_scaled(to.spec.values, h, e, weight, d, width, r.row);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms&, const T* s, index node, index) const {
    for (index h = 0; h < p.heads(); ++h) write_row(to.dq, h, node, s + h * p.depth());
  }

 private:
  static void write_scaled(const result& x, index h, index e, T by, const T* row, index count,
                           T* room) {
    if (!x.present()) return;
    each_channel<T, Arch>(count, [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      simd::store(room + c, B(B(by) * simd::load<T, A>(row + c)));
    });
    write_row(x, h, e, room);
  }
};

template <class T, class Arch> struct edge_kv_by_source {
  const edge_kv_problem& p;
  const transposed& turned;
  operand d_out;
  const edge_kv_gradients& to;
  const T *weights, *slopes;

  struct rooms {
    rows_in<T> q, d_out;
    template <class Memory>
    rooms(Memory& from, const edge_kv_by_source& w) : q(from, w.p.q), d_out(from, w.d_out) {}
  };
  index state() const { return p.heads() * (p.depth() + p.width()); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }
  void edges(rooms& r, T* s, index, index first, index last) const {
    const csr by_source = turned.by_source();
    for (index t = first; t < last; ++t) {
      const index e = turned.edge(t), i = by_source.source(t);
      const index next = by_source.source(std::min(t + edges_ahead, last - 1));
      ask_row(r.q, next), ask_row(r.d_out, next);
      for (index h = 0; h < p.heads(); ++h) {
        T *const dk = s + h * p.depth(), *const dv = s + p.heads() * p.depth() + h * p.width();
        if (to.dk.present())
          add_scaled<T, Arch>(slopes[e * p.heads() + h], r.q(h, i), p.depth(), dk);
        if (to.dv.present())
          add_scaled<T, Arch>(weights[e * p.heads() + h], r.d_out(h, i), p.width(), dv);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms&, const T* s, index node, index) const {
    for (index h = 0; h < p.heads(); ++h) {
      write_row(to.dk, h, node, s + h * p.depth());
      write_row(to.dv, h, node, s + p.heads() * p.depth() + h * p.width());
    }
  }
};

template <class T, class Arch>
HEED_NOINLINE void edge_kv_backward(const edge_kv_problem& p, const transposed& turned,
                                    const operand& out, const operand& lse, const operand& d_out,
                                    const edge_kv_gradients& to, const executor_ref& executor,
                                    const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges_backward(edge_kv)";
  const index nodes = p.spec.graph.nodes(), heads = p.heads();
  p.check(operation);
  turned.check(operation, p.spec.graph, p.k.extent[2]);
  check_rows(operation, {"out", out}, {1, heads, nodes, p.width()});
  check_rows(operation, {"lse", lse}, {1, heads, nodes, 1});
  check_rows(operation, {"d_out", d_out}, {1, heads, nodes, p.width()});
  check_optional(operation, {"dq", to.dq}, p.q.extent);
  check_optional(operation, {"dk", to.dk}, p.k.extent);
  check_optional(operation, {"dv", to.dv}, p.v.extent);
  check_optional(operation, {"gradient of keys", to.spec.keys},
                 {1, heads, p.spec.graph.edges(), p.depth()});
  check_optional(operation, {"gradient of values", to.spec.values},
                 {1, heads, p.spec.graph.edges(), p.width()});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const csr by_source = turned.by_source();
  node_visit<T> down(p.spec.graph, heads * p.depth());
  node_visit<T> up(by_source, heads * (p.depth() + p.width()));
  T *weights = nullptr, *slopes = nullptr;
  const auto pieces = [&](auto& from) {
    weights = from.template take<T>(p.spec.graph.edges() * heads);
    slopes = from.template take<T>(p.spec.graph.edges() * heads);
    down.take(from), up.take(from);
  };
  lay_out(memory.shared(), pieces);
  const edge_kv_by_destination<T, Arch> first{p, out, lse, d_out, to, weights, slopes};
  down.run(first, executor, memory);
  if (!to.dk.present() && !to.dv.present()) return;
  const edge_kv_by_source<T, Arch> second{p, turned, d_out, to, weights, slopes};
  up.run(second, executor, memory);
}

}  // namespace detail

// `forward` is what attend_edges wrote, lse included; `by_source` is transposed(spec.graph, M).
// Same bits for any executor. Throws std::invalid_argument, before anything is written, if a shape
// or the graph does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges_backward(const edge_kv& spec, const transposed& by_source, const view<Q>& q,
                           const view<K>& k, const view<V>& v, const edge_forward& forward,
                           const operand& d_out, const edge_kv_gradients& to,
                           const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::edge_kv_problem p{spec, view<const Q>(q), view<const K>(k), view<const V>(v)};
  detail::edge_kv_backward<compute_type<Q, K, V>, Arch>(p, by_source, forward.out, forward.lse,
                                                        d_out, to, executor, scratch);
}

}  // namespace heed
