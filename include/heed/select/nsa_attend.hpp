// SPDX-License-Identifier: BSL-1.0
// Native sparse attention (Yuan et al., NSA, 2025): three branches and their gates.
//
//   o = σ(g_0) · compressed + σ(g_1) · chosen + σ(g_2) · window
//
//   nsa_state<float> state;
//   compress_mean(spec, k, kc);  // or what a model makes of each block
//   compress_mean(spec, v, vc);
//   attend_nsa(spec, {q, k, v, kc, vc, gates}, out, state);
//
// q [B,H,Lq,D], k [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], kc [B,Hkv,Nc,D], vc [B,Hkv,Nc,Dv], gates
// [B,H,Lq,3] before the sigmoid, out [B,H,Lq,Dv]; the last query sits at the last key. Cost a
// query: Lk / stride + count · selected + window keys, and the compressed scores once more to
// choose.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/selected.hpp>
#include <heed/select/compress_mean.hpp>

namespace heed {

struct nsa_operands {
  operand q, k, v, compressed_k, compressed_v, gates;
};

// What forward leaves for backward: the outputs of the branches, their lse, the chosen blocks.
template <class T> struct nsa_state {
  static constexpr std::size_t branches = 3;
  std::vector<T> out[branches], lse[branches];
  block_selection chosen;
};

namespace detail {

inline void check_nsa(const char* operation, const nsa& spec, const nsa_operands& x,
                      const operand& out) {
  spec.check(operation);
  const extents &q = x.q.extent, &k = x.k.extent, &v = x.v.extent;
  const auto want = [&](const char* name, const operand& of, const extents& e) {
    if (of.extent != e)
      check::fail(operation, std::string(name) + " must be " + check::print(e),
                  {{"q", x.q}, {"k", x.k}, {"v", x.v}, {name, of}});
  };
  check_choice(operation, x.q, x.k);
  const index rows = spec.compressed(k[2]);
  want("v", x.v, {k[0], k[1], k[2], v[3]});
  want("compressed_k", x.compressed_k, {k[0], k[1], rows, k[3]});
  want("compressed_v", x.compressed_v, {v[0], v[1], rows, v[3]});
  want("gates", x.gates, {q[0], q[1], q[2], 3});
  want("out", out, {q[0], q[1], q[2], v[3]});
  check_data(operation, {{"v", x.v},
                         {"compressed_k", x.compressed_k},
                         {"compressed_v", x.compressed_v},
                         {"gates", x.gates},
                         {"out", out}});
}

// f(branch, spec, k, v): the three calls of attention.
template <class F>
void each_branch(const nsa& spec, const nsa_operands& x, const block_selection& chosen, F f) {
  const index offset = x.k.extent[2] - x.q.extent[2];
  f(0, attention{.mask = compressed_past{spec.block, spec.stride}, .offset = offset},
    x.compressed_k, x.compressed_v);
  f(1, attention{.mask = selected{chosen.lists(), causal{}}}, x.k, x.v);
  f(2, attention{.mask = causal{} && window{.left = spec.window - 1}}, x.k, x.v);
}

template <class T> view<T> rows_of(std::vector<T>& memory, const extents& e) {
  memory.resize(static_cast<std::size_t>(e[0] * e[1] * e[2] * e[3]));
  return {memory.data(), e};
}

// f(b, h, i, σ of the three gates, worker) for every query row.
template <class T, class F>
void each_gated_row(const operand& gates, const executor_ref& executor, F f) {
  constexpr index each = 64;
  const index heads = gates.extent[1], length = gates.extent[2],
              all = gates.extent[0] * heads * length;
  executor.for_each((all + each - 1) / each, [&](index piece, index worker) {
    for (index i = piece * each; i < std::min((piece + 1) * each, all); ++i) {
      const index head = i / length, b = head / heads, h = head % heads;
      T open[3];
      simd::load_row(gates.type, gates.row(b, h, i % length), gates.stride[3], 3, open);
      for (T& g : open) g = T(1) / (T(1) + std::exp(-g));
      f(b, h, i % length, open, worker);
    }
  });
}

}  // namespace detail

// Computes in T. Throws std::invalid_argument, before `out` is written, if a shape does not fit.
template <class T, class Arch = simd::best>
void attend_nsa(const nsa& spec, const nsa_operands& x, const result& out, nsa_state<T>& state,
                const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::check_nsa("heed::attend_nsa", spec, x, out);
  const extents shape = out.extent, rows{shape[0], shape[1], shape[2], 1};
  const double scale = 1 / std::sqrt(double(std::max<index>(1, x.q.extent[3])));
  detail::each_branch(spec, x, state.chosen,
                      [&](std::size_t n, const auto& branch, const operand& k, const operand& v) {
                        if (n == 1) {
                          const view<const T> lse(state.lse[0].data(), rows);
                          state.chosen = detail::select_nsa_any<T, Arch>(
                              spec, x.q, x.compressed_k, lse, scale, x.k.extent[2], executor);
                        }
                        auto again = branch;
                        if constexpr (requires { again.mask.lists; })
                          again.mask.lists = state.chosen.lists();
                        detail::attend_any<T, Arch>(
                            again, x.q, k, v,
                            outputs{.out = detail::rows_of(state.out[n], shape),
                                    .lse = detail::rows_of(state.lse[n], rows)},
                            executor, scratch);
                      });
  const index depth = shape[3];
  std::vector<T> memory(static_cast<std::size_t>(executor.workers() * depth));
  detail::each_gated_row<T>(
      x.gates, executor, [&](index b, index h, index i, const T* open, index worker) {
        T* const sum = memory.data() + worker * depth;
        std::fill_n(sum, depth, T(0));
        for (std::size_t n = 0; n < 3; ++n)
          simd::add_scaled<Arch>(open[n],
                                 state.out[n].data() + ((b * shape[1] + h) * shape[2] + i) * depth,
                                 depth, sum);
        simd::store_row(out.type, sum, depth, out.row(b, h, i), out.stride[3]);
      });
}

}  // namespace heed
