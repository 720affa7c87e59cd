// SPDX-License-Identifier: BSL-1.0
// segment/edge_kv: attention along edges that bring keys and values of their own (Tang et al.,
// HPNet, 2024).
//
//   attend_edges(edge_kv{.graph = g, .keys = as<"LHD">(ek), .values = as<"LHD">(ev)}, q, k, v,
//                {.out = out, .lse = lse})
//
//   o_i = Σ_e α_e (v_j + ev_e),   α = softmax over the edges e: j → i of scale · q_i·(k_j + ek_e)
//
// q [1,H,N,D], k [1,H,M,D], v [1,H,M,Dv], keys [1,H,E,D] and values [1,H,E,Dv] or nothing.
#pragma once

#include <heed/segment/loop.hpp>
#include <heed/segment/problem.hpp>

namespace heed {

struct edge_kv {
  csr graph{};
  operand keys{}, values{};  // of edges
  double scale = 0;          // 0: 1/√D

  struct gradient {
    result keys{}, values{};
  };
};

namespace detail {

struct edge_kv_problem {
  const edge_kv& spec;
  operand q, k, v;

  index heads() const { return q.extent[1]; }
  index depth() const { return q.extent[3]; }
  index width() const { return v.extent[3]; }
  double scale() const {
    return spec.scale != 0 ? spec.scale : 1 / std::sqrt(double(std::max<index>(1, depth())));
  }
  void check(const char* operation) const {
    const index m = k.extent[2], e = spec.graph.edges();
    check_rows(operation, {"q", q}, {1, heads(), spec.graph.nodes(), depth()});
    check_rows(operation, {"k", k}, {1, heads(), m, depth()});
    check_rows(operation, {"v", v}, {1, heads(), m, width()});
    check_optional(operation, {"keys", spec.keys}, {1, heads(), e, depth()});
    check_optional(operation, {"values", spec.values}, {1, heads(), e, width()});
    spec.graph.check(operation, m);
  }
};

template <class T, class Arch> struct edge_kv_edges {
  const csr& graph;
  row_source<T> q, k, v, keys, values;
  T scale;
  index heads;

  explicit edge_kv_edges(const edge_kv_problem& p)
      : graph(p.spec.graph),
        q(p.q),
        k(p.k),
        v(p.v),
        keys(p.spec.keys),
        values(p.spec.values),
        scale(static_cast<T>(p.scale())),
        heads(p.heads()) {}

  template <class Arena> struct task {
    const edge_kv_edges& all;
    T *own, *more, *staged_k, *staged_v, *staged_keys, *staged_values;
    index last = 0;
    segment_rows<T> rows;

    task(const edge_kv_edges& edges, Arena& a)
        : all(edges),
          own(a.template take<T>(edges.q.width())),
          more(a.template take<T>(edges.heads * segment_block)),
          staged_k(a.template take<T>(edges.k.staged())),
          staged_v(a.template take<T>(edges.v.staged())),
          staged_keys(a.template take<T>(edges.keys.staged())),
          staged_values(a.template take<T>(edges.values.staged())) {}

    void start(index, index end) { last = end; }
    void begin(index node) {
      all.q.copy(node, own);
      for (index i = 0; i < all.q.width(); ++i) own[i] *= all.scale;
    }
    listed_rows from(index first) const { return {all.graph.sources.data() + first, last - first}; }
    void scores(index first, index count, T* s) {
      const index H = all.heads, depth = all.k.depth();
      all.k.gather(count, from(first), staged_k, rows);
      edge_scores<T, Arch>(row_term{}, own, own, rows, count, H, depth, s, ask_ahead{});
      if (!all.keys.present()) return;
      all.keys.gather(count, edge_rows{first, last - first}, staged_keys, rows);
      edge_scores<T, Arch>(row_term{}, own, own, rows, count, H, depth, more, nothing_to_ask{});
      for (index h = 0; h < H; ++h)
        for (index j = 0; j < count; ++j) s[h * segment_block + j] += more[h * segment_block + j];
    }
    void values(index first, index count, const T* p, T* o) {
      const index H = all.heads, width = all.v.depth();
      all.v.gather(count, from(first), staged_v, rows);
      edge_sums<T, Arch>(row_term{}, o, rows, count, H, width, p, o, ask_ahead{});
      if (!all.values.present()) return;
      all.values.gather(count, edge_rows{first, last - first}, staged_values, rows);
      edge_sums<T, Arch>(row_term{}, o, rows, count, H, width, p, o, nothing_to_ask{});
    }
  };
};

template <class T, class Arch>
HEED_NOINLINE void edge_kv_any(const edge_kv_problem& p, const edge_outputs& to,
                               const executor_ref& executor, const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges(edge_kv)";
  const index nodes = p.spec.graph.nodes();
  p.check(operation);
  check_rows(operation, {"out", to.out}, {1, p.heads(), nodes, p.width()});
  check_optional(operation, {"lse", to.lse}, {1, p.heads(), nodes, 1});
  const edge_kv_edges<T, Arch> edges(p);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const segment_loop<T, Arch, edge_kv_edges<T, Arch>> loop(p.spec.graph, edges, p.heads(),
                                                           p.width(), {}, to);
  memory.shared().reserve(static_cast<std::size_t>(loop.kept()) * sizeof(T));
  loop.run(executor, memory, memory.shared().take<T>(loop.kept()));
}

}  // namespace detail

// Computes in float, or in double if q, k and v are double. Nodes without edges give zeros and an
// lse of -∞. Outputs must not overlap inputs. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if the graph or a shape is not as above.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges(const edge_kv& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                  const std::type_identity_t<edge_outputs>& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  const detail::edge_kv_problem p{spec, view<const Q>(q), view<const K>(k), view<const V>(v)};
  detail::edge_kv_any<compute_type<Q, K, V>, Arch>(p, to, executor, scratch);
}

}  // namespace heed
