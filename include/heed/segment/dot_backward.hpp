// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/dot.
//
//   const transposed by(g, M);   // once a graph
//   attend_edges_backward(spec, by, q, k, v, {.out = out, .lse = lse}, d_out,
//                         {.dq = dq, .dk = dk, .dv = dv, .spec = {.bias = db}})
//
//   dq_dst = Σ_e ds_e k_src · scale, dk_src = Σ_e ds_e q_dst · scale, dv_src = Σ_e p_e dO_dst
#pragma once

#include <heed/segment/dot.hpp>
#include <heed/segment/replay.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored.
struct segment_dot_gradients {
  result dq{}, dk{}, dv{};
  segment_dot::gradient spec{};
};

namespace detail {

template <class T, class Arch> struct dot_destinations {
  const dot_edges<T, Arch>& edges;
  const returned<T, Arch>& back;
  result dq;

  template <class Arena> struct task {
    const dot_destinations& all;
    typename dot_edges<T, Arch>::template task<Arena> edges;
    typename returned<T, Arch>::template task<Arena> back;

    task(const dot_destinations& d, Arena& a) : all(d), edges(d.edges, a), back(d.back, a) {}

    void start(index first, index last) { edges.start(first, last); }
    void begin(index node) { edges.begin(node), back.begin(node); }
    void add(index first, index count, T* own) {
      const index H = all.edges.heads;
      edges.scores(first, count, back.s);
      const segment_rows<T> keys = edges.rows;
      all.edges.v.gather(count, edges.from(first), edges.staged_v, edges.rows);
      edge_scores<T, Arch>(row_term{}, back.d_out, back.d_out, edges.rows, count, H,
                           all.edges.v.depth(), back.dp, ask_ahead{});
      back.slopes(count);
      back.keep(first, count);
      if (all.dq.present())
        edge_sums<T, Arch>(row_term{}, own, keys, count, H, all.edges.k.depth(), back.dp, own,
                           nothing_to_ask{});
    }
    void finish(index node, T* own, index) {
      for (index c = 0; c < all.edges.q.width(); ++c) own[c] *= all.edges.scale;
      store_heads(all.dq, node, own);
      back.finish(node);
    }
  };
};

// own: dV, then dK.
template <class T, class Arch> struct dot_sources {
  slopes_by_source<T> slopes;
  row_source<T> q, d_out;
  T scale;
  result dk, dv;

  template <class Arena> struct task {
    const dot_sources& all;
    T *p, *ds, *staged;
    index last = 0;
    segment_rows<T> rows;

    task(const dot_sources& d, Arena& a)
        : all(d),
          p(a.template take<T>(d.slopes.kept.heads * segment_block)),
          ds(a.template take<T>(d.slopes.kept.heads * segment_block)),
          staged(a.template take<T>(std::max(d.q.staged(), d.d_out.staged()))) {}

    void start(index, index end) { last = end; }
    void begin(index) {}
    void add(index first, index count, T* own) {
      const index H = all.slopes.kept.heads;
      all.slopes.load(first, count, last, p, ds);
      const listed_rows from{all.slopes.by.by_source().sources.data() + first, last - first};
      const auto sum = [&](const row_source<T>& x, const T* w, T* to) {
        x.gather(count, from, staged, rows);
        edge_sums<T, Arch>(row_term{}, to, rows, count, H, x.depth(), w, to, ask_ahead{});
      };
      if (all.dv.present()) sum(all.d_out, p, own);
      if (all.dk.present()) sum(all.q, ds, own + all.d_out.width());
    }
    void finish(index node, T* own, index) {
      T* const keys = own + all.d_out.width();
      for (index c = 0; c < all.q.width(); ++c) keys[c] *= all.scale;
      store_heads(all.dv, node, own), store_heads(all.dk, node, keys);
    }
  };
};

template <class T, class Arch>
HEED_NOINLINE void dot_backward_any(const segment_dot& spec, const transposed& by, const operand& q,
                                    const operand& k, const operand& v, const edge_forward& forward,
                                    const operand& d_out, const segment_dot_gradients& to,
                                    const executor_ref& executor, const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges_backward(segment_dot)";
  const index H = q.extent[1], N = spec.graph.nodes(), E = spec.graph.edges();
  check_dot(operation, spec, q, k, v);
  check_returned(operation, forward, d_out, {1, H, N, v.extent[3]});
  check_optional(operation, {"dq", to.dq}, q.extent);
  check_optional(operation, {"dk", to.dk}, k.extent);
  check_optional(operation, {"dv", to.dv}, v.extent);
  broadcast::check_gradient(operation, spec.bias, to.spec.bias);
  broadcast::check_gradient(operation, spec.null, to.spec.null);
  by.check(operation, spec.graph, k.extent[2]);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const dot_edges<T, Arch> edges = edges_of<T, Arch>(spec, q, k, v);
  returned<T, Arch> back{
      row_source<T>(forward.out), row_source<T>(d_out), forward.lse, nullptr, {nullptr, H}, H};
  const dot_destinations<T, Arch> destinations{edges, back, to.dq};
  const segment_sums<T, dot_destinations<T, Arch>> first(spec.graph, destinations, edges.q.width());
  const csr by_source = by.by_source();
  dot_sources<T, Arch> sources{{by, {}}, edges.q, back.d_out, edges.scale, to.dk, to.dv};
  const segment_sums<T, dot_sources<T, Arch>> second(by_source, sources,
                                                     back.d_out.width() + edges.q.width());
  T* kept = nullptr;
  double* sum = nullptr;
  const auto pieces = [&](auto& a) {
    back.kept.data = a.template take<T>(edge_slopes<T>::size(E, H));
    back.delta = a.template take<T>(N * H);
    kept = a.template take<T>(std::max(first.kept(), second.kept()));
    sum = a.template take<double>(broadcast::sums(to.spec.null));
  };
  lay_out(memory.shared(), pieces);
  first.run(executor, memory, kept);
  sources.slopes.kept = back.kept;
  if (to.dk.present() || to.dv.present()) second.run(executor, memory, kept);
  store_slopes(back.kept, E, to.spec.bias, executor);
  store_null(spec.null, forward.lse, back.delta, N, H, to.spec.null, sum);
}

}  // namespace detail

// With L any function of out and d_out = dL/dout: writes the gradients asked for. `forward` is what
// attend_edges wrote, `by` the same graph by source. Computes in float, or in double if q, k and v
// are double. Same bits for any executor. Throws std::invalid_argument, before anything is written,
// if a shape or a graph does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges_backward(const segment_dot& spec, const transposed& by, const view<Q>& q,
                           const view<K>& k, const view<V>& v, const edge_forward& forward,
                           const operand& d_out, const segment_dot_gradients& to,
                           const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::dot_backward_any<compute_type<Q, K, V>, Arch>(spec, by, view<const Q>(q),
                                                        view<const K>(k), view<const V>(v), forward,
                                                        d_out, to, executor, scratch);
}

}  // namespace heed
