// SPDX-License-Identifier: BSL-1.0
// heads/output_gate: o <- o ⊙ σ(g), o ⊙ SiLU(g) or o + SiLU(g), before the output projection.
//
// logits g [B|1, H|1, L, Dv|1]: one a channel, or one a head and row. A low-rank gate is the
// caller's product. Gated attention, Qiu et al. 2025. O(Dv) a row. Throws if g does not broadcast
// to the output.
#pragma once

#include <algorithm>
#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

enum class gate { sigmoid, silu, additive };

struct output_gate {
  operand logits;
  gate form = gate::sigmoid;

  template <class Arch, class T> void row(T* x, index depth, const row_position& at) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>, chunk = 64;
    for (index c = 0; c < depth; c += chunk) {
      const index some = std::min(chunk, depth - c);
      T o[chunk] = {}, g[chunk] = {};
      std::copy_n(x + c, some, o);
      broadcast::load(logits, at.b, at.h, at.row, c, 3, some, g);
      for (index i = 0; i < some; i += W)
        simd::store(o + i, gated(simd::load<T, Arch>(o + i), B(simd::load<T, Arch>(g + i))));
      std::copy_n(o, some, x + c);
    }
  }

  struct gradient {
    result logits;  // as the logits
  };
  bool in_place(const gradient& g) const { return g.logits.present() && logits.extent[2] != 1; }
  index sums(const gradient& g) const { return in_place(g) ? 0 : broadcast::sums(g.logits); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::output_gate", logits, g.logits, in_place(g));
  }
  void clear(const gradient& g) const { broadcast::clear(g.logits); }
  // o' = o·f(g) or o + f(g): do = do'·f or do', dg = do'·o·f' or do'·f', with σ' = σ(1 - σ) and
  // SiLU' = σ(1 + g(1 - σ)).
  template <class Arch, class T>
  void row_backward(const T* x, T* dx, index depth, const row_position& at, const gradient& to,
                    double* sum) const {
    for (index c = 0; c < depth; ++c) {
      const T g = broadcast::element<T>(logits, at.b, at.h, at.row, c), s = simd::sigmoid(g);
      const T value = form == gate::sigmoid ? s : g * s;
      const T slope = form == gate::sigmoid ? s * (1 - s) : s * (1 + g * (1 - s));
      const double d = double(dx[c] * slope * (form == gate::additive ? T(1) : x[c]));
      if (in_place(to))
        broadcast::add(to.logits, at.b, at.h, at.row, c, d);
      else if (to.logits.present())
        sum[broadcast::sum_at(to.logits, at.b, at.h, at.row, c)] += d;
      if (form != gate::additive) dx[c] *= value;
    }
  }
  void deliver(const gradient& g, const double* sum) const {
    if (!in_place(g)) broadcast::store_sums(g.logits, sum);
  }

  void check(const row_shape& rows) const {
    broadcast::check("heed::output_gate", "the gate", logits,
                     {rows.batch, rows.heads, rows.rows, rows.channels});
  }

 private:
  template <class B> B gated(const B& o, const B& g) const {
    const B sigma = simd::sigmoid(g);
    if (form == gate::sigmoid) return o * sigma;
    if (form == gate::silu) return o * (g * sigma);
    return o + g * sigma;
  }
};

}  // namespace heed
