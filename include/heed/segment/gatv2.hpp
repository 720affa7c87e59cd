// SPDX-License-Identifier: BSL-1.0
// segment/gat, second version (Brody et al., How attentive are graph attention networks?, 2022):
//
//   s_e = a · LeakyReLU(l_dst + r_src) + bias_e
//   α = softmax over the edges that come to a node,  o_i = Σ_e α_e r_src
//
//   attend_edges(gatv2{.graph = g, .weight = a}, l, r, {.out = out})
//
// Rows are projected already: l = W_l h of destinations [1,H,N,D], r = W_r h of sources [1,H,M,D].
#pragma once

#include <heed/segment/gat.hpp>

namespace heed {

struct gatv2 {
  csr graph{};
  operand weight{};  // [1,H,1,D]: a
  operand bias{};    // [1,H|1,E|1,1]
  double slope = 0.2;
  operand null{};
  edge_order order = edge_order::any;

  struct gradient {
    result weight{}, bias{}, null{};
  };
};

namespace detail {

// a · LeakyReLU(x + y); its slope by x or y is a times what `sum` gives.
template <class T> struct leaky_term {
  T slope;
  template <class B> HEED_INLINE B score(const B& x, const B& y, const B& a, const B& acc) const {
    const B z = x + y;
    return simd::fma(a, simd::select(z < B(T(0)), B(z * B(slope)), z), acc);
  }
  template <class B> HEED_INLINE B sum(const B& x, const B& y) const {
    return simd::select(B(x + y) < B(T(0)), B(slope), B(T(1)));
  }
  static constexpr bool alone = false;
};

template <class T, class Arch> struct gatv2_edges {
  const csr& graph;
  row_source<T> left, right;
  const T* weight;  // [H][D]
  operand bias;
  leaky_term<T> term;
  index heads, depth;

  template <class Arena> struct task {
    const gatv2_edges& all;
    T *own, *staged, *bias;
    index last = 0;
    segment_rows<T> rows;

    task(const gatv2_edges& edges, Arena& a)
        : all(edges),
          own(a.template take<T>(edges.left.width())),
          staged(a.template take<T>(edges.right.staged())),
          bias(a.template take<T>(segment_block)) {}

    void start(index, index end) { last = end; }
    void begin(index node) { all.left.copy(node, own); }
    // Scores and values are the same rows.
    void scores(index first, index count, T* s) {
      all.right.gather(count, listed_rows{all.graph.sources.data() + first, last - first}, staged,
                       rows);
      edge_scores<T, Arch>(all.term, own, all.weight, rows, count, all.heads, all.depth, s,
                           ask_ahead{});
      add_edges(all.bias, first, count, all.heads, bias, s);
    }
    void values(index, index count, const T* p, T* o) {
      edge_sums<T, Arch>(row_term{}, o, rows, count, all.heads, all.depth, p, o, nothing_to_ask{});
    }
  };
};

template <class T, class Arch>
HEED_NOINLINE void gatv2_any(const gatv2& spec, const operand& left, const operand& right,
                             const edge_outputs& to, const executor_ref& executor,
                             const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges(gatv2)";
  const index H = left.extent[1], D = left.extent[3];
  check_gat(operation, spec.graph, spec.bias, spec.null, spec.order, left, right);
  check_outputs(operation, to, left.extent);
  check_rows(operation, {"weight", spec.weight}, {1, H, 1, D});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  gatv2_edges<T, Arch> edges{
      spec.graph, row_source<T>(left), row_source<T>(right), nullptr, spec.bias, {T(spec.slope)}, H,
      D};
  const segment_loop<T, Arch, gatv2_edges<T, Arch>> loop(spec.graph, edges, H, D, spec.null, to);
  arena& shared = memory.shared();
  const auto pieces = [&](auto& a) {
    T* const kept = a.template take<T>(loop.kept());
    return std::array{kept, a.template take<T>(H * D)};
  };
  const auto [kept, weight] = lay_out(shared, pieces);
  load_learned(spec.weight, weight);
  edges.weight = weight;
  loop.run(executor, memory, kept);
}

}  // namespace detail

// Computes in float, or in double if both are double. A node without edges gives zeros and
// lse = -inf, or that of the null logit. Same bits for any executor. Throws std::invalid_argument,
// before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable A, storable B>
void attend_edges(const gatv2& spec, const view<A>& left, const view<B>& right,
                  const edge_outputs& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  detail::gatv2_any<compute_type<A, B>, Arch>(spec, view<const A>(left), view<const B>(right), to,
                                              executor, scratch);
}

}  // namespace heed
