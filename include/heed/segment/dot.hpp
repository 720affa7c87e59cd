// SPDX-License-Identifier: BSL-1.0
// segment/dot: attention along the edges of a graph,
//
//   s_e = q_dst · k_src · scale + bias_e,  α = softmax over the edges that come to a node,
//   o_i = Σ_e α_e v_src
//
//   attend_edges(segment_dot{.graph = g}, q, k, v, {.out = out, .lse = lse})
//
// q [1,H,N,D] are rows of destinations, k [1,H,M,D] and v [1,H,M,Dv] of sources, bias [1,H|1,E|1,1]
// of edges. O(E · H · (D + Dv)), bound by reading the rows of sources: fastest with the heads of a
// node side by side, [N,H,D] as<"LHD">.
// Graph transformer, Shi et al. 2020.
#pragma once

#include <heed/segment/loop.hpp>
#include <heed/segment/problem.hpp>

namespace heed {

struct segment_dot {
  csr graph{};
  operand bias{};    // [1,H|1,E|1,1]: added to scores
  double scale = 0;  // 0: 1/√D
  operand null{};    // [1,H|1,N|1,1]: the logit of one more edge whose value is zero
  edge_order order = edge_order::any;

  struct gradient {
    result bias{}, null{};
  };
};

namespace detail {

template <class T, class Arch> struct dot_edges {
  const csr& graph;
  row_source<T> q, k, v;
  operand bias;
  T scale;
  index heads;

  template <class Arena> struct task {
    const dot_edges& all;
    T *own, *staged_k, *staged_v, *bias;
    index last = 0;
    segment_rows<T> rows;

    task(const dot_edges& edges, Arena& a)
        : all(edges),
          own(a.template take<T>(edges.q.width())),
          staged_k(a.template take<T>(edges.k.staged())),
          staged_v(a.template take<T>(edges.v.staged())),
          bias(a.template take<T>(segment_block)) {}

    void start(index, index end) { last = end; }
    void begin(index node) { all.q.copy(node, own, all.scale); }
    listed_rows from(index first) const { return {all.graph.sources.data() + first, last - first}; }
    void scores(index first, index count, T* s) {
      all.k.gather(count, from(first), staged_k, rows);
      edge_scores<T, Arch>(row_term{}, own, own, rows, count, all.heads, all.k.depth(), s,
                           ask_ahead{});
      add_edges(all.bias, first, count, all.heads, bias, s);
    }
    void values(index first, index count, const T* p, T* o) {
      all.v.gather(count, from(first), staged_v, rows);
      edge_sums<T, Arch>(row_term{}, o, rows, count, all.heads, all.v.depth(), p, o, ask_ahead{});
    }
  };
};

inline double dot_scale(const segment_dot& spec, index depth) {
  return spec.scale != 0 ? spec.scale : 1 / std::sqrt(double(std::max<index>(1, depth)));
}

inline void check_dot(const char* operation, const segment_dot& spec, const operand& q,
                      const operand& k, const operand& v) {
  const index H = q.extent[1], N = spec.graph.nodes();
  check_rows(operation, {"q", q}, {1, H, N, q.extent[3]});
  check_rows(operation, {"k", k}, {1, H, k.extent[2], q.extent[3]});
  check_rows(operation, {"v", v}, {1, H, k.extent[2], v.extent[3]});
  check_table(operation, {"bias", spec.bias}, {1, H, spec.graph.edges(), 1});
  check_table(operation, {"null", spec.null}, {1, H, N, 1});
  spec.graph.check(operation, k.extent[2], spec.order);
}
template <class T, class Arch>
dot_edges<T, Arch> edges_of(const segment_dot& spec, const operand& q, const operand& k,
                            const operand& v) {
  return {spec.graph,       row_source<T>(q), row_source<T>(k),
          row_source<T>(v), spec.bias,        T(dot_scale(spec, q.extent[3])),
          q.extent[1]};
}

template <class T, class Arch>
HEED_NOINLINE void dot_any(const segment_dot& spec, const operand& q, const operand& k,
                           const operand& v, const edge_outputs& to, const executor_ref& executor,
                           const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges(segment_dot)";
  const index H = q.extent[1], N = spec.graph.nodes();
  check_dot(operation, spec, q, k, v);
  check_rows(operation, {"out", to.out}, {1, H, N, v.extent[3]});
  check_optional(operation, {"lse", to.lse}, {1, H, N, 1});
  const dot_edges<T, Arch> edges = edges_of<T, Arch>(spec, q, k, v);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const segment_loop<T, Arch, dot_edges<T, Arch>> loop(spec.graph, edges, H, v.extent[3], spec.null,
                                                       to);
  memory.shared().reserve(static_cast<std::size_t>(loop.kept()) * sizeof(T));
  loop.run(executor, memory, memory.shared().take<T>(loop.kept()));
}

}  // namespace detail

// Computes in float, or in double if q, k and v are double. A node without edges gives zeros and
// lse = -inf, or that of the null logit. Same bits for any executor. Throws std::invalid_argument,
// before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges(const segment_dot& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                  const edge_outputs& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  detail::dot_any<compute_type<Q, K, V>, Arch>(spec, view<const Q>(q), view<const K>(k),
                                               view<const V>(v), to, executor, scratch);
}

}  // namespace heed
