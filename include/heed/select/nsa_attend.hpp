// SPDX-License-Identifier: BSL-1.0
// Native sparse attention (Yuan et al., NSA, 2025): three branches and their gates.
//
//   o = σ(g_0) · compressed + σ(g_1) · chosen + σ(g_2) · window
//
//   nsa_state<float> state;
//   compress_mean(spec, k, kc);  // or what a model makes of each block
//   compress_mean(spec, v, vc);
//   attend_nsa(spec, {q, k, v, kc, vc, gates}, out, state);
//   attend_nsa_backward(spec, {q, k, v, kc, vc, gates}, state, d_out, {dq, dk, dv, dkc, dvc, dg});
//
// q [B,H,Lq,D], k [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], kc [B,Hkv,Nc,D], vc [B,Hkv,Nc,Dv], gates
// [B,H,Lq,3] before the sigmoid, out [B,H,Lq,Dv]. The choice of blocks has no gradient. Cost a
// query: Lk / stride + count · selected + window keys, and the compressed scores once more to
// choose.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/selected.hpp>
#include <heed/select/compress_mean.hpp>

namespace heed {

struct nsa_operands {
  operand q, k, v, compressed_k, compressed_v, gates;
};
struct nsa_gradients {
  result dq{}, dk{}, dv{}, d_compressed_k{}, d_compressed_v{}, d_gates{};
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

// Gradients that are asked for have the shapes of their operands; `state` is of such a call.
template <class T>
void check_nsa_gradients(const char* operation, const nsa_operands& x, const nsa_state<T>& state,
                         const operand& d_out, const nsa_gradients& to) {
  const auto want = [&](const char* name, const result& of, const operand& like) {
    if (of.present() && of.extent != like.extent)
      check::fail(operation, std::string(name) + " must be " + check::print(like.extent),
                  {{name, operand(of)}});
  };
  want("dq", to.dq, x.q), want("dk", to.dk, x.k), want("dv", to.dv, x.v);
  want("d_compressed_k", to.d_compressed_k, x.compressed_k);
  want("d_compressed_v", to.d_compressed_v, x.compressed_v);
  want("d_gates", to.d_gates, x.gates);
  const extents& e = d_out.extent;
  const auto rows = static_cast<std::size_t>(e[0] * e[1] * e[2]);
  for (std::size_t n = 0; n < nsa_state<T>::branches; ++n)
    if (state.lse[n].size() != rows || state.out[n].size() != rows * static_cast<std::size_t>(e[3]))
      check::fail(operation, "state must be what attend_nsa left for these shapes",
                  {{"d_out", d_out}});
  state.chosen.lists().check(
      operation, {.batch = e[0], .heads = e[1], .queries = e[2], .keys = x.k.extent[2]});
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

// Gradients of what `to` names, through the branches, the gates and the compressed rows.
template <class T, class Arch = simd::best>
void attend_nsa_backward(const nsa& spec, const nsa_operands& x, nsa_state<T>& state,
                         const operand& d_out, const nsa_gradients& to,
                         const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::check_nsa("heed::attend_nsa_backward", spec, x, d_out);
  detail::check_nsa_gradients("heed::attend_nsa_backward", x, state, d_out, to);
  const extents shape = d_out.extent, rows{shape[0], shape[1], shape[2], 1};
  const index depth = shape[3];
  std::vector<T> branch_out[3], memory(static_cast<std::size_t>(executor.workers() * depth));
  for (auto& one : branch_out) detail::rows_of(one, shape);
  detail::each_gated_row<T>(
      x.gates, executor, [&](index b, index h, index i, const T* open, index worker) {
        T* const d = memory.data() + worker * depth;
        const index at = ((b * shape[1] + h) * shape[2] + i) * depth;
        simd::load_row(d_out.type, d_out.row(b, h, i), d_out.stride[3], depth, d);
        T slope[3];
        for (std::size_t n = 0; n < 3; ++n) {
          const T* const o = state.out[n].data() + at;
          T dot(0);
          for (index c = 0; c < depth; ++c) {
            dot += d[c] * o[c];
            branch_out[n][static_cast<std::size_t>(at + c)] = open[n] * d[c];
          }
          slope[n] = dot * open[n] * (T(1) - open[n]);
        }
        if (to.d_gates.present())
          simd::store_row(to.d_gates.type, slope, 3, to.d_gates.row(b, h, i), to.d_gates.stride[3]);
      });
  std::vector<T> dq[3], dk[2], dv[2];
  detail::each_branch(spec, x, state.chosen,
                      [&](std::size_t n, const auto& branch, const operand& k, const operand& v) {
                        using spec_type = std::remove_cvref_t<decltype(branch)>;
                        gradients<spec_type> into{.dq = detail::rows_of(dq[n], x.q.extent)};
                        if (n == 0) {
                          into.dk = to.d_compressed_k, into.dv = to.d_compressed_v;
                        } else {
                          into.dk = detail::rows_of(dk[n - 1], k.extent),
                          into.dv = detail::rows_of(dv[n - 1], v.extent);
                        }
                        const view<const T> o(state.out[n].data(), shape),
                            l(state.lse[n].data(), rows), d(branch_out[n].data(), shape);
                        detail::attend_backward_any<T, Arch>(branch, x.q, k, v, saved{o, l},
                                                             upstream(d), into, executor, scratch);
                      });
  const auto add = [&](const result& sum, auto... parts) {
    if (!sum.present()) return;
    const extents& e = sum.extent;
    std::vector<T> lines(static_cast<std::size_t>(executor.workers() * e[3]));
    executor.for_each(e[0] * e[1] * e[2], [&](index i, index worker) {
      T* const line = lines.data() + worker * e[3];
      std::fill_n(line, e[3], T(0));
      (simd::add_scaled<Arch>(T(1), parts + i * e[3], e[3], line), ...);
      simd::store_row(sum.type, line, e[3], sum.row(i / e[2] / e[1], i / e[2] % e[1], i % e[2]),
                      sum.stride[3]);
    });
  };
  add(to.dq, dq[0].data(), dq[1].data(), dq[2].data());
  add(to.dk, dk[0].data(), dk[1].data());
  add(to.dv, dv[0].data(), dv[1].data());
}

}  // namespace heed
