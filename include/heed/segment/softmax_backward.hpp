// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/softmax: with δ_i = Σ_e α_e dα_e over the edges to i,
//
//   dl_e = α_e (dα_e - δ),  dc_e = 2 c_e w_e e^{l + prior - lse} (dα_e - δ),
//   dw_e = c_e² e^{l + prior - lse} (dα_e - δ),  d null_i = -e^{null - lse} δ,
//   dζ_i = -σ(ζ) e^{-lse} δ
//
// An edge of weight or cutoff 0 has a gradient by it all the same.
//
//   normalize_edges_backward(spec, logits, lse, d_alpha, {.logits = dl, .spec = {.weight = dw}})
#pragma once

#include <heed/segment/softmax.hpp>
#include <heed/segment/sums.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored. Tables of edges have a number for every
// edge, those of nodes may stand for several.
struct segment_softmax_gradients {
  result logits{};
  segment_softmax::gradient spec{};
};

namespace detail {

// own [H]: δ
template <class T, class Arch> struct softmax_deltas {
  const segment_softmax& spec;
  operand logits, lse, d_alpha;
  T* delta;  // [N][H]

  template <class Arena> struct task {
    const softmax_deltas& all;
    T *s, *d, *row, *lse;

    task(const softmax_deltas& x, Arena& a)
        : all(x),
          s(a.template take<T>(x.logits.extent[1] * segment_block)),
          d(a.template take<T>(x.logits.extent[1] * segment_block)),
          row(a.template take<T>(std::max(x.logits.extent[1], segment_block))),
          lse(a.template take<T>(x.logits.extent[1])) {}

    void start(index, index) {}
    void begin(index node) {
      simd::load_row(all.lse.type, all.lse.row(0, 0, node), all.lse.stride[1], all.logits.extent[1],
                     lse);
    }
    void add(index first, index count, T* own) {
      const index H = all.logits.extent[1];
      softmax_loop<T, Arch>::edge_logits(all.spec, all.logits, first, count, row, s);
      edge_weights<T, Arch>(s, lse, count, H);
      load_edges(all.d_alpha, first, count, H, row, d);
      for (index h = 0; h < H; ++h)
        for (index j = h * segment_block; j < h * segment_block + count; ++j) own[h] += s[j] * d[j];
    }
    void finish(index node, const T* own, index) {
      std::copy_n(own, all.logits.extent[1], all.delta + node * all.logits.extent[1]);
    }
  };
};

// Once every δ is known; `own` is not used.
template <class T, class Arch> struct softmax_slopes {
  const softmax_deltas<T, Arch>& known;
  const segment_softmax_gradients& to;

  template <class Arena> struct task {
    using deltas = typename softmax_deltas<T, Arch>::template task<Arena>;
    const softmax_slopes& all;
    deltas at;
    T *cutoff, *all_heads;
    const T* delta = nullptr;

    task(const softmax_slopes& x, Arena& a)
        : all(x),
          at(x.known, a),
          cutoff(a.template take<T>(x.known.logits.extent[1] * segment_block)),
          all_heads(
              a.template take<T>(std::max<index>(1, x.known.logits.extent[1]) * segment_block)) {}

    void start(index, index) {}
    void begin(index node) {
      at.begin(node);
      delta = all.known.delta + node * all.known.logits.extent[1];
    }
    void add(index first, index count, T*) {
      const auto& [spec, logits, lse, d_alpha, deltas_] = all.known;
      const index H = logits.extent[1], block = H * segment_block;
      load_edges(d_alpha, first, count, H, at.row, at.d);
      std::fill_n(cutoff, block, T(1));
      if (spec.cutoff.present()) {
        std::fill_n(cutoff, block, T(0));
        add_edges(spec.cutoff, first, count, H, at.row, cutoff);
      }
      // e^{l + prior - lse} times a power of each factor, by their logarithms: a product may leave T.
      const auto store = [&](const result& x, bool weighs, T power, const auto& factor) {
        if (!x.present()) return;
        load_edges(logits, first, count, H, at.row, at.s);
        add_edges(spec.prior, first, count, H, at.row, at.s);
        if (weighs)
          add_edges(spec.weight, first, count, H, at.row, at.s, [](T w) { return std::log(w); });
        add_edges(spec.cutoff, first, count, H, at.row, at.s,
                  [power](T c) { return power * std::log(std::abs(c)); });
        edge_weights<T, Arch>(at.s, at.lse, count, H);
        std::fill_n(all_heads, segment_block, T(0));
        for (index i = 0; i < block; ++i)
          all_heads[i] = at.s[i] * (at.d[i] - delta[i / segment_block]) * factor(cutoff[i]);
        for (index h = 1; h < H && x.extent[1] != H; ++h)
          for (index j = 0; j < count; ++j) all_heads[j] += all_heads[h * segment_block + j];
        store_edges(x, first, count, x.extent[1], at.row, all_heads);
      };
      const auto one = [](T) { return T(1); };
      store(all.to.logits, true, 2, one), store(all.to.spec.prior, true, 2, one);
      store(all.to.spec.weight, false, 2, one);
      store(all.to.spec.cutoff, true, 1, [](T c) { return std::copysign(T(2), c); });
    }
    void finish(index, const T*, index) {}
  };
};

template <class T, class Arch>
HEED_NOINLINE void softmax_backward_any(const segment_softmax& spec, const operand& logits,
                                        const operand& lse, const operand& d_alpha,
                                        const segment_softmax_gradients& to,
                                        const executor_ref& executor,
                                        const workspace_ref& scratch) {
  constexpr const char* operation = "heed::normalize_edges_backward(segment_softmax)";
  const index H = logits.extent[1], N = spec.graph.nodes();
  check_softmax(operation, spec, logits);
  check_rows(operation, {"lse", lse}, {1, H, N, 1});
  check_rows(operation, {"d_alpha", d_alpha}, logits.extent);
  check_optional(operation, {"d_logits", to.logits}, logits.extent);
  const auto by_edge = [&](const char* name, const operand& table, const result& g) {
    broadcast::check_gradient(operation, table, g);
    if (g.present() && g.extent[2] != spec.graph.edges())
      check::fail(operation, "a gradient of edges needs a number for every edge", {{name, g}});
  };
  by_edge("prior", spec.prior, to.spec.prior), by_edge("weight", spec.weight, to.spec.weight);
  by_edge("cutoff", spec.cutoff, to.spec.cutoff);
  broadcast::check_gradient(operation, spec.null, to.spec.null);
  broadcast::check_gradient(operation, spec.sink, to.spec.sink);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  softmax_deltas<T, Arch> deltas{spec, logits, lse, d_alpha, nullptr};
  const softmax_slopes<T, Arch> slopes{deltas, to};
  const segment_sums<T, softmax_deltas<T, Arch>> first(spec.graph, deltas, H);
  const segment_sums<T, softmax_slopes<T, Arch>> second(spec.graph, slopes, 0);
  T* kept = nullptr;
  double* sum = nullptr;
  const index sums = std::max(broadcast::sums(to.spec.null), broadcast::sums(to.spec.sink));
  const auto pieces = [&](auto& a) {
    deltas.delta = a.template take<T>(N * H);
    kept = a.template take<T>(first.kept());
    sum = a.template take<double>(sums);
  };
  lay_out(memory.shared(), pieces);
  first.run(executor, memory, kept);
  second.run(executor, memory, kept);
  const auto by_node = [&](const operand& table, const result& g, const auto& share) {
    if (!g.present()) return;
    std::fill_n(sum, broadcast::sums(g), 0.0);
    for (index i = 0; i < N; ++i)
      for (index h = 0; h < H; ++h) {
        const double z = broadcast::element<double>(table, 0, h, i, 0),
                     log_sum = broadcast::element<double>(lse, 0, h, i, 0),
                     of = share(z, log_sum) * double(deltas.delta[i * H + h]);
        if (log_sum != -std::numeric_limits<double>::infinity())
          sum[broadcast::sum_at(g, 0, h, i, 0)] -= of;
      }
    broadcast::store_sums(g, sum);
  };
  by_node(spec.null, to.spec.null, [](double z, double l) { return std::exp(z - l); });
  by_node(spec.sink, to.spec.sink, [](double z, double l) {
    return std::exp(std::min(z, 0.0) - std::log1p(std::exp(-std::abs(z))) - l);
  });
}

}  // namespace detail

// With L any function of the weights and d_alpha = dL/dα: writes the gradients asked for; lse is
// what normalize_edges wrote. Same bits for any executor. Throws std::invalid_argument, before
// anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable L>
void normalize_edges_backward(const segment_softmax& spec, const view<L>& logits,
                              const operand& lse, const operand& d_alpha,
                              const segment_softmax_gradients& to,
                              const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  detail::softmax_backward_any<compute_type<L>, Arch>(spec, view<const L>(logits), lse, d_alpha, to,
                                                      executor, scratch);
}

}  // namespace heed
