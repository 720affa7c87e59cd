// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/gat's second version.
//
//   attend_edges_backward(gatv2{…}, by, l, r, {.out = out, .lse = lse}, d_out,
//                         {.d_dst = dl, .d_src = dr, .spec = {.weight = da}})
//
// With rows t_e = ds_e LeakyReLU'(l_dst + r_src):
//   dl = a Σ_e t_e,  dr = Σ_e p_e dO + a Σ_e t_e,  da = Σ_i l_i Σ_e t_e + Σ_j r_j Σ_e t_e
#pragma once

#include <heed/segment/gat_backward.hpp>
#include <heed/segment/gatv2.hpp>

namespace heed {

namespace detail {

// own [H][D]: Σ t
template <class T, class Arch> struct gatv2_destinations {
  const gatv2_edges<T, Arch>& edges;
  const returned<T, Arch>& back;
  T* by_learned;
  result d_dst;

  template <class Arena> struct task {
    const gatv2_destinations& all;
    typename gatv2_edges<T, Arch>::template task<Arena> edges;
    typename returned<T, Arch>::template task<Arena> back;

    task(const gatv2_destinations& d, Arena& a) : all(d), edges(d.edges, a), back(d.back, a) {}

    void start(index first, index last) { edges.start(first, last); }
    void begin(index node) { edges.begin(node), back.begin(node); }
    void add(index first, index count, T* own) {
      const auto& e = all.edges;
      edges.scores(first, count, back.s);
      edge_scores<T, Arch>(row_term{}, back.d_out, back.d_out, edges.rows, count, e.heads, e.depth,
                           back.dp, nothing_to_ask{});
      back.slopes(count);
      back.keep(first, count);
      edge_sums<T, Arch>(e.term, edges.own, edges.rows, count, e.heads, e.depth, back.dp, own,
                         nothing_to_ask{});
    }
    void finish(index node, T* own, index at) {
      const index width = all.edges.left.width();
      T* const learned = all.by_learned + at * width;
      for (index c = 0; c < width; ++c) {
        learned[c] += own[c] * edges.own[c];
        own[c] *= all.edges.weight[c];
      }
      store_heads(all.d_dst, node, own);
      back.finish(node);
    }
  };
};

// own: Σ p dO, then Σ t
template <class T, class Arch> struct gatv2_sources {
  slopes_by_source<T> slopes;
  row_source<T> left, right, d_out;
  const T* weight;
  leaky_term<T> term;
  T* by_learned;
  result d_src;

  template <class Arena> struct task {
    const gatv2_sources& all;
    T *p, *ds, *staged, *row;
    index last = 0;
    segment_rows<T> rows;

    task(const gatv2_sources& d, Arena& a)
        : all(d),
          p(a.template take<T>(d.slopes.kept.heads * segment_block)),
          ds(a.template take<T>(d.slopes.kept.heads * segment_block)),
          staged(a.template take<T>(std::max(d.left.staged(), d.d_out.staged()))),
          row(a.template take<T>(d.right.width())) {}

    void start(index, index end) { last = end; }
    void begin(index node) { all.right.copy(node, row); }
    void add(index first, index count, T* own) {
      const index H = all.slopes.kept.heads, D = all.right.depth();
      all.slopes.load(first, count, last, p, ds);
      const listed_rows from{all.slopes.by.by_source().sources.data() + first, last - first};
      all.d_out.gather(count, from, staged, rows);
      edge_sums<T, Arch>(row_term{}, own, rows, count, H, D, p, own, ask_ahead{});
      all.left.gather(count, from, staged, rows);
      edge_sums<T, Arch>(all.term, row, rows, count, H, D, ds, own + all.right.width(),
                         ask_ahead{});
    }
    void finish(index node, T* own, index at) {
      const index width = all.right.width();
      T *const learned = all.by_learned + at * width, *const sum = own + width;
      for (index c = 0; c < width; ++c) {
        learned[c] += sum[c] * row[c];
        own[c] += sum[c] * all.weight[c];
      }
      store_heads(all.d_src, node, own);
    }
  };
};

template <class T, class Arch>
HEED_NOINLINE void gatv2_backward_any(const gatv2& spec, const transposed& by, const operand& left,
                                      const operand& right, const edge_forward& forward,
                                      const operand& d_out, const gat_gradients<gatv2>& to,
                                      const executor_ref& executor, const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges_backward(gatv2)";
  const index H = left.extent[1], D = left.extent[3], N = left.extent[2], E = spec.graph.edges(),
              width = H * D;
  check_gat_backward(operation, spec, by, left, right, forward, d_out, to);
  check_rows(operation, {"weight", spec.weight}, {1, H, 1, D});
  check_optional(operation, {"the gradient of weight", to.spec.weight}, {1, H, 1, D});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  gatv2_edges<T, Arch> edges{
      spec.graph, row_source<T>(left), row_source<T>(right), nullptr, spec.bias, {T(spec.slope)}, H,
      D};
  returned<T, Arch> back{
      row_source<T>(forward.out), row_source<T>(d_out), forward.lse, nullptr, {nullptr, H}, H};
  gatv2_destinations<T, Arch> destinations{edges, back, nullptr, to.d_dst};
  const csr by_source = by.by_source();
  gatv2_sources<T, Arch> sources{{by, {nullptr, H}}, edges.left, edges.right, back.d_out, nullptr,
                                 edges.term,         nullptr,    to.d_src};
  const segment_sums<T, gatv2_destinations<T, Arch>> first(spec.graph, destinations, width);
  const segment_sums<T, gatv2_sources<T, Arch>> second(by_source, sources, 2 * width);
  const index tasks = first.tasks() + second.tasks();
  T *kept = nullptr, *weight = nullptr, *learned = nullptr;
  double* sum = nullptr;
  const auto pieces = [&](auto& a) {
    back.kept.data = a.template take<T>(edge_slopes<T>::size(E, H));
    back.delta = a.template take<T>(N * H);
    kept = a.template take<T>(std::max(first.kept(), second.kept()));
    weight = a.template take<T>(width);
    learned = a.template take<T>(tasks * width);
    sum = a.template take<double>(std::max(width, broadcast::sums(to.spec.null)));
  };
  lay_out(memory.shared(), pieces);
  load_learned(spec.weight, weight);
  edges.weight = sources.weight = weight;
  sources.slopes.kept = back.kept;
  destinations.by_learned = learned, sources.by_learned = learned + first.tasks() * width;
  std::fill_n(learned, tasks * width, T(0));
  first.run(executor, memory, kept);
  second.run(executor, memory, kept);
  store_learned(to.spec.weight, learned, tasks, width, sum);
  store_slopes(back.kept, E, to.spec.bias, executor);
  store_null(spec.null, forward.lse, back.delta, N, H, to.spec.null, sum);
}

}  // namespace detail

// As that of `gat`.
template <class Arch = simd::best, storable A, storable B>
void attend_edges_backward(const gatv2& spec, const transposed& by, const view<A>& left,
                           const view<B>& right, const edge_forward& forward, const operand& d_out,
                           const gat_gradients<gatv2>& to, const executor_ref& executor = {},
                           const workspace_ref& scratch = {}) {
  detail::gatv2_backward_any<compute_type<A, B>, Arch>(
      spec, by, view<const A>(left), view<const B>(right), forward, d_out, to, executor, scratch);
}

}  // namespace heed
