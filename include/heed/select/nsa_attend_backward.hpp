// SPDX-License-Identifier: BSL-1.0
// Gradients of native sparse attention (Yuan et al., NSA, 2025).
//
//   attend_nsa(spec, {q, k, v, kc, vc, gates}, out, state);
//   attend_nsa_backward(spec, {q, k, v, kc, vc, gates}, state, d_out, {dq, dk, dv, dkc, dvc, dg});
//   compress_mean_backward(spec, dkc, dk);  // or what the model does
//   compress_mean_backward(spec, dvc, dv);
//
//   do_n = σ(g_n) dout,   dg_n = σ(g_n) (1 - σ(g_n)) dout·o_n,   o_n the output of branch n
//
// Shapes are those of the operands (select/nsa_attend.hpp). The choice of blocks has no gradient.
// Cost: a backward call of each branch; memory: three of the output and of dq, two of dk and dv.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/select/nsa_attend.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored.
struct nsa_gradients {
  result dq{}, dk{}, dv{}, d_compressed_k{}, d_compressed_v{}, d_gates{};
};

namespace detail {

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

}  // namespace detail

// Gradients of what `to` names, through the branches, the gates and the compressed rows. Computes
// in T. Throws std::invalid_argument, before anything is written, if a shape, a gradient or the
// state does not fit.
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
