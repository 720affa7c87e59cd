// SPDX-License-Identifier: BSL-1.0
// segment/gat: graph attention with scores of rank 1 (Veličković et al., 2018),
//
//   s_e = LeakyReLU(a_dst · x_dst + a_src · x_src + bias_e)
//   α = softmax over the edges that come to a node,  o_i = Σ_e α_e x_src
//
//   attend_edges(gat{.graph = g, .target = a_dst, .source = a_src}, x, x, {.out = out})
//
// Rows are projected already, x = W h, of destinations [1,H,N,D] and of sources [1,H,M,D]. One
// number a node and head is computed first. `gatv2.hpp` has the scores that are not of rank 1.
#pragma once

#include <heed/segment/loop.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct gat {
  csr graph{};
  operand target{}, source{};  // [1,H,1,D]: a_dst and a_src
  operand bias{};              // [1,H|1,E|1,1], as the term of edge features
  double slope = 0.2;          // of LeakyReLU below 0
  operand null{};              // [1,H|1,N|1,1]: the logit of one more edge whose value is zero
  edge_order order = edge_order::any;

  struct gradient {
    result target{}, source{}, bias{}, null{};
  };
};

namespace detail {

// Two numbers a node in place of rows: [node][head], of destinations and sources.
template <class T, class Arch> struct gat_edges {
  const csr& graph;
  const T *target, *source;
  row_source<T> x;
  operand bias;
  T slope;
  index heads;

  template <class Arena> struct task {
    const gat_edges& all;
    T *staged, *bias, *z;
    const T* own = nullptr;
    index last = 0;
    segment_rows<T> rows;

    task(const gat_edges& edges, Arena& a)
        : all(edges),
          staged(a.template take<T>(edges.x.staged())),
          bias(a.template take<T>(segment_block)),
          z(a.template take<T>(edges.heads * segment_block)) {}

    void start(index, index end) { last = end; }
    void begin(index node) { own = all.target + node * all.heads; }
    listed_rows from(index first) const { return {all.graph.sources.data() + first, last - first}; }
    // What LeakyReLU is taken of.
    void inside(index first, index count, T* s) {
      const index H = all.heads;
      for (index j = 0; j < count; ++j) {
        simd::prefetch(all.source + all.graph.source(std::min(first + j + 32, last - 1)) * H,
                       H * index(sizeof(T)));
        const T* const other = all.source + all.graph.source(first + j) * H;
        for (index h = 0; h < H; ++h) s[h * segment_block + j] = own[h] + other[h];
      }
      add_edges(all.bias, first, count, H, bias, s);
    }
    void scores(index first, index count, T* s) {
      inside(first, count, z);
      for (index h = 0; h < all.heads; ++h)
        for (index j = h * segment_block; j < h * segment_block + count; ++j)
          s[j] = z[j] < T(0) ? z[j] * all.slope : z[j];
    }
    void values(index first, index count, const T* p, T* o) {
      all.x.gather(count, from(first), staged, rows);
      edge_sums<T, Arch>(row_term{}, o, rows, count, all.heads, all.x.depth(), p, o, ask_ahead{});
    }
  };
};

// to[row][h] = a[h] · x[h, row]; `memory` is the workers' scratch.
template <class T, class Arch>
void row_products(const operand& x, const T* a, T* to, const executor_ref& executor,
                  workspace& memory) {
  constexpr index some = 256;
  const index H = x.extent[1], D = x.extent[3], rows = x.extent[2];
  const row_source<T> from(x);
  memory.crew(executor.workers());
  executor.for_each((rows + some - 1) / some, [&](index task, index worker) {
    arena& scratch = memory.worker(worker);
    scratch.reserve(static_cast<std::size_t>(aligned_bytes(from.staged(), sizeof(T))));
    T* const staged = scratch.take<T>(from.staged());
    for (index i = task * some; i < std::min(rows, (task + 1) * some); ++i) {
      segment_rows<T> row;
      from.gather(1, edge_rows{i, 1}, staged, row);
      for (index h = 0; h < H; ++h)
        to[i * H + h] = simd::dot_row<Arch>(a + h * D, row.row[0] + h * row.pitch, D);
    }
  });
}
template <class T> void load_learned(const operand& a, T* to) {
  for (index h = 0; h < a.extent[1]; ++h)
    simd::load_row(a.type, a.row(0, h, 0), a.stride[3], a.extent[3], to + h * a.extent[3]);
}

inline void check_gat(const char* operation, const csr& graph, const operand& bias,
                      const operand& null, edge_order order, const operand& x_dst,
                      const operand& x_src) {
  const index H = x_dst.extent[1], D = x_dst.extent[3], N = graph.nodes();
  check_rows(operation, {"the destinations", x_dst}, {1, H, N, D});
  check_rows(operation, {"the sources", x_src}, {1, H, x_src.extent[2], D});
  check_table(operation, {"bias", bias}, {1, H, graph.edges(), 1});
  check_table(operation, {"null", null}, {1, H, N, 1});
  graph.check(operation, x_src.extent[2], order);
}
inline void check_outputs(const char* operation, const edge_outputs& to, const extents& out) {
  check_rows(operation, {"out", to.out}, out);
  check_optional(operation, {"lse", to.lse}, {1, out[1], out[2], 1});
}

template <class T, class Arch>
HEED_NOINLINE void gat_any(const gat& spec, const operand& x_dst, const operand& x_src,
                           const edge_outputs& to, const executor_ref& executor,
                           const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges(gat)";
  const index H = x_dst.extent[1], D = x_dst.extent[3], N = x_dst.extent[2], M = x_src.extent[2];
  check_gat(operation, spec.graph, spec.bias, spec.null, spec.order, x_dst, x_src);
  check_outputs(operation, to, x_dst.extent);
  check_rows(operation, {"target", spec.target}, {1, H, 1, D});
  check_rows(operation, {"source", spec.source}, {1, H, 1, D});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  gat_edges<T, Arch> edges{spec.graph, nullptr,       nullptr, row_source<T>(x_src),
                           spec.bias,  T(spec.slope), H};
  const segment_loop<T, Arch, gat_edges<T, Arch>> loop(spec.graph, edges, H, D, spec.null, to);
  arena& shared = memory.shared();
  const auto pieces = [&](auto& a) {
    T* const kept = a.template take<T>(loop.kept());
    T* const learned = a.template take<T>(2 * H * D);
    T *const target = a.template take<T>(N * H), *const source = a.template take<T>(M * H);
    return std::array{kept, learned, target, source};
  };
  const auto [kept, learned, target, source] = lay_out(shared, pieces);
  load_learned(spec.target, learned), load_learned(spec.source, learned + H * D);
  row_products<T, Arch>(x_dst, learned, target, executor, memory);
  row_products<T, Arch>(x_src, learned + H * D, source, executor, memory);
  edges.target = target, edges.source = source;
  loop.run(executor, memory, kept);
}

}  // namespace detail

// Computes in float, or in double if both x are double. A node without edges gives zeros and
// lse = -inf, or that of the null logit. Same bits for any executor. Throws std::invalid_argument,
// before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable A, storable B>
void attend_edges(const gat& spec, const view<A>& x_dst, const view<B>& x_src,
                  const edge_outputs& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  detail::gat_any<compute_type<A, B>, Arch>(spec, view<const A>(x_dst), view<const B>(x_src), to,
                                            executor, scratch);
}
}  // namespace heed
