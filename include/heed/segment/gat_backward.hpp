// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/gat.
//
//   attend_edges_backward(gat{…}, by, x_dst, x_src, {.out = out, .lse = lse}, d_out,
//                         {.d_dst = …, .d_src = …, .spec = {.target = …, .source = …}})
//
// With g_e = ds_e LeakyReLU'(z_e), z what LeakyReLU is taken of:
//   dx_dst = a_dst Σ_e g_e,  da_dst = Σ_i x_i Σ_e g_e,  dbias_e = g_e
//   dx_src = Σ_e p_e dO + a_src Σ_e g_e,  da_src = Σ_j x_j Σ_e g_e
// Where destinations and sources are the same rows, their gradients are to be added.
#pragma once

#include <heed/segment/gat.hpp>
#include <heed/segment/replay.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored.
template <class Spec> struct gat_gradients {
  result d_dst{}, d_src{};
  typename Spec::gradient spec{};
};

namespace detail {

// own [H]: Σ g
template <class T, class Arch> struct gat_destinations {
  const gat_edges<T, Arch>& edges;
  const returned<T, Arch>& back;
  row_source<T> x;
  const T* learned;  // [H][D]: a_dst
  T* by_learned;     // [task][H][D]
  result d_dst;

  template <class Arena> struct task {
    const gat_destinations& all;
    typename gat_edges<T, Arch>::template task<Arena> edges;
    typename returned<T, Arch>::template task<Arena> back;
    T* row;

    task(const gat_destinations& d, Arena& a)
        : all(d), edges(d.edges, a), back(d.back, a), row(a.template take<T>(d.x.width())) {}

    void start(index first, index last) { edges.start(first, last); }
    void begin(index node) { edges.begin(node), back.begin(node); }
    void add(index first, index count, T* own) {
      const index H = all.edges.heads, D = all.x.depth();
      edges.scores(first, count, back.s);
      all.edges.x.gather(count, edges.from(first), edges.staged, edges.rows);
      edge_scores<T, Arch>(row_term{}, back.d_out, back.d_out, edges.rows, count, H, D, back.dp,
                           ask_ahead{});
      back.slopes(count);
      for (index h = 0; h < H; ++h) {
        const T* const z = edges.z + h * segment_block;
        T* const ds = back.dp + h * segment_block;
        for (index j = 0; j < count; ++j) own[h] += ds[j] *= z[j] < T(0) ? all.edges.slope : T(1);
      }
      back.keep(first, count);
    }
    void finish(index node, T* own, index at) {
      const index H = all.edges.heads, D = all.x.depth();
      all.x.copy(node, row);
      T* const by = all.by_learned + at * H * D;
      for (index h = 0; h < H; ++h)
        for (index c = h * D; c < (h + 1) * D; ++c) {
          by[c] += own[h] * row[c];
          row[c] = own[h] * all.learned[c];
        }
      store_heads(all.d_dst, node, row);
      back.finish(node);
    }
  };
};

// own: Σ p dO [H][D], then Σ g [H]
template <class T, class Arch> struct gat_sources {
  slopes_by_source<T> slopes;
  row_source<T> x, d_out;
  const T* learned;
  T* by_learned;
  result d_src;

  template <class Arena> struct task {
    const gat_sources& all;
    T *p, *ds, *staged, *row;
    index last = 0;
    segment_rows<T> rows;

    task(const gat_sources& d, Arena& a)
        : all(d),
          p(a.template take<T>(d.slopes.kept.heads * segment_block)),
          ds(a.template take<T>(d.slopes.kept.heads * segment_block)),
          staged(a.template take<T>(d.d_out.staged())),
          row(a.template take<T>(d.x.width())) {}

    void start(index, index end) { last = end; }
    void begin(index) {}
    void add(index first, index count, T* own) {
      const index H = all.slopes.kept.heads;
      all.slopes.load(first, count, last, p, ds);
      all.d_out.gather(count,
                       listed_rows{all.slopes.by.by_source().sources.data() + first, last - first},
                       staged, rows);
      edge_sums<T, Arch>(row_term{}, own, rows, count, H, all.x.depth(), p, own, ask_ahead{});
      T* const sum = own + all.x.width();
      for (index h = 0; h < H; ++h)
        for (index j = 0; j < count; ++j) sum[h] += ds[h * segment_block + j];
    }
    void finish(index node, T* own, index at) {
      const index H = all.slopes.kept.heads, D = all.x.depth();
      const T* const sum = own + all.x.width();
      all.x.copy(node, row);
      T* const by = all.by_learned + at * H * D;
      for (index h = 0; h < H; ++h)
        for (index c = h * D; c < (h + 1) * D; ++c) {
          by[c] += sum[h] * row[c];
          own[c] += sum[h] * all.learned[c];
        }
      store_heads(all.d_src, node, own);
    }
  };
};

template <class Spec>
void check_gat_backward(const char* operation, const Spec& spec, const transposed& by,
                        const operand& x_dst, const operand& x_src, const edge_forward& forward,
                        const operand& d_out, const gat_gradients<Spec>& to) {
  check_gat(operation, spec.graph, spec.bias, spec.null, spec.order, x_dst, x_src);
  check_returned(operation, forward, d_out, x_dst.extent);
  check_optional(operation, {"d_dst", to.d_dst}, x_dst.extent);
  check_optional(operation, {"d_src", to.d_src}, x_src.extent);
  broadcast::check_gradient(operation, spec.bias, to.spec.bias);
  broadcast::check_gradient(operation, spec.null, to.spec.null);
  by.check(operation, spec.graph, x_src.extent[2]);
}

template <class T, class Arch>
HEED_NOINLINE void gat_backward_any(const gat& spec, const transposed& by, const operand& x_dst,
                                    const operand& x_src, const edge_forward& forward,
                                    const operand& d_out, const gat_gradients<gat>& to,
                                    const executor_ref& executor, const workspace_ref& scratch) {
  constexpr const char* operation = "heed::attend_edges_backward(gat)";
  const index H = x_dst.extent[1], D = x_dst.extent[3], N = x_dst.extent[2], M = x_src.extent[2],
              E = spec.graph.edges(), width = H * D;
  check_gat_backward(operation, spec, by, x_dst, x_src, forward, d_out, to);
  check_rows(operation, {"target", spec.target}, {1, H, 1, D});
  check_rows(operation, {"source", spec.source}, {1, H, 1, D});
  check_optional(operation, {"d_target", to.spec.target}, {1, H, 1, D});
  check_optional(operation, {"d_source", to.spec.source}, {1, H, 1, D});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  gat_edges<T, Arch> edges{spec.graph, nullptr,       nullptr, row_source<T>(x_src),
                           spec.bias,  T(spec.slope), H};
  returned<T, Arch> back{
      row_source<T>(forward.out), row_source<T>(d_out), forward.lse, nullptr, {nullptr, H}, H};
  gat_destinations<T, Arch> destinations{edges,   back,    row_source<T>(x_dst),
                                         nullptr, nullptr, to.d_dst};
  const csr by_source = by.by_source();
  gat_sources<T, Arch> sources{{by, {nullptr, H}}, edges.x, back.d_out, nullptr, nullptr, to.d_src};
  const segment_sums<T, gat_destinations<T, Arch>> first(spec.graph, destinations, H);
  const segment_sums<T, gat_sources<T, Arch>> second(by_source, sources, width + H);
  const index tasks = first.tasks() + second.tasks();
  T *kept = nullptr, *learned = nullptr, *target = nullptr, *source = nullptr,
    *by_learned = nullptr;
  double* sum = nullptr;
  const auto pieces = [&](auto& a) {
    back.kept.data = a.template take<T>(edge_slopes<T>::size(E, H));
    back.delta = a.template take<T>(N * H);
    kept = a.template take<T>(std::max(first.kept(), second.kept()));
    learned = a.template take<T>(2 * width);
    target = a.template take<T>(N * H), source = a.template take<T>(M * H);
    by_learned = a.template take<T>(tasks * width);
    sum = a.template take<double>(std::max(width, broadcast::sums(to.spec.null)));
  };
  lay_out(memory.shared(), pieces);
  load_learned(spec.target, learned), load_learned(spec.source, learned + width);
  row_products<T, Arch>(x_dst, learned, target, executor, memory);
  row_products<T, Arch>(x_src, learned + width, source, executor, memory);
  edges.target = target, edges.source = source;
  destinations.learned = learned, sources.learned = learned + width;
  sources.slopes.kept = back.kept;
  destinations.by_learned = by_learned;
  sources.by_learned = by_learned + first.tasks() * width;
  std::fill_n(by_learned, tasks * width, T(0));
  first.run(executor, memory, kept);
  second.run(executor, memory, kept);
  store_learned(to.spec.target, destinations.by_learned, first.tasks(), width, sum);
  store_learned(to.spec.source, sources.by_learned, second.tasks(), width, sum);
  store_slopes(back.kept, E, to.spec.bias, executor);
  store_null(spec.null, forward.lse, back.delta, N, H, to.spec.null, sum);
}

}  // namespace detail

// With L any function of out and d_out = dL/dout: writes the gradients asked for. `forward` is what
// attend_edges wrote, `by` the same graph by source. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or a graph does not fit.
template <class Arch = simd::best, storable A, storable B>
void attend_edges_backward(const gat& spec, const transposed& by, const view<A>& x_dst,
                           const view<B>& x_src, const edge_forward& forward, const operand& d_out,
                           const gat_gradients<gat>& to, const executor_ref& executor = {},
                           const workspace_ref& scratch = {}) {
  detail::gat_backward_any<compute_type<A, B>, Arch>(
      spec, by, view<const A>(x_dst), view<const B>(x_src), forward, d_out, to, executor, scratch);
}
}  // namespace heed
