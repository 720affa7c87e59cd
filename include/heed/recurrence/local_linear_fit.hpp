// SPDX-License-Identifier: BSL-1.0
// The linear fits of a panel of queries of recurrence/local_linear: conjugate gradients, and what
// the fits make of the values.
#pragma once

#include <heed/recurrence/local_linear_panel.hpp>

namespace heed::detail {

template <class T, class Arch> struct local_linear_fit : local_linear_panel<T, Arch> {
  using panel = local_linear_panel<T, Arch>;
  using B = typename panel::B;
  using panel::dots, panel::blend, panel::products, panel::weighted, panel::accumulate;
  using panel::lambda, panel::tolerance, panel::iterations;
  using panel::moments, panel::each_tile;
  using panel::q, panel::w, panel::mu, panel::rho, panel::p, panel::ap, panel::t, panel::o,
      panel::x;
  using panel::W, panel::pitch, panel::depth, panel::value_depth, panel::vectors;

  local_linear_fit(arena& a, index d, index dv, index keys) : panel(a, d, dv, keys) {}

  // y = Σ_i⁻¹ b for every lane, b overwritten. A lane stops by itself, so none depends on another.
  void solve(T* b, T* y) {
    T rr[pitch], before[pitch], stop[pitch], alpha[pitch], beta[pitch], one[pitch], qp[pitch],
        total[pitch];
    std::fill_n(one, pitch, T(1));
    std::fill_n(rr, pitch, T(0));
    simd::clear<T, Arch>(vectors, pitch, depth, y);
    std::copy_n(b, depth * pitch, p);
    dots(b, b, rr);
    for (index n = 0; n < pitch; ++n) stop[n] = tolerance * tolerance * rr[n];
    for (index i = 0; i < iterations; ++i) {
      bool active[pitch], any = false;
      for (index n = 0; n < vectors * W; ++n) any |= active[n] = rr[n] > stop[n];
      if (!any) return;
      dots(q, p, qp);
      moments([&](index j, index some) { products(p, j, some, t); },
              [&](const B& kp, const B& weight, index n, index) {
                return B(weight * (kp - simd::load<T, Arch>(qp + n)));
              },
              ap, total);
      std::fill_n(beta, pitch, lambda);
      blend(one, ap, beta, p);
      dots(p, ap, alpha);
      for (index n = 0; n < vectors * W; ++n) {
        before[n] = rr[n];
        alpha[n] = active[n] ? rr[n] / alpha[n] : T(0);
        beta[n] = -alpha[n];
      }
      blend(one, y, alpha, p);
      blend(one, b, beta, ap);
      dots(b, b, rr);
      for (index n = 0; n < vectors * W; ++n) beta[n] = active[n] ? rr[n] / before[n] : T(0);
      blend(beta, p, one, b);
    }
  }

  // μ, then ρ.
  void fit() {
    T total[pitch];
    moments([](index, index) {}, [&](const B&, const B& weight, index, index) { return weight; },
            mu, total);
    solve(mu, rho);
  }
  // a_j = w_j (1 - z_j·ρ) of a tile, in t; their sums added to `sum`. ρ·q in `dot`.
  void coefficients(index j, index some, const T* dot, T* sum) const {
    products(rho, j, some, t);
    weighted(j, some, t, sum, [&](const B& kr, const B& weight, index n, index) {
      return B(weight * (B(T(1)) - (kr - simd::load<T, Arch>(dot + n))));
    });
  }
  // Σ_j a_j v_j in o, and 1 / Σ_j a_j, 0 where there are no keys, in `factor`.
  void outputs(T* factor) {
    T dot[pitch], sum[pitch] = {};
    dots(q, rho, dot);
    simd::clear<T, Arch>(vectors, pitch, value_depth, o);
    each_tile([&](index j, index some) {
      coefficients(j, some, dot, sum);
      accumulate(t, j, some, x.v, x.v_stride, value_depth, o);
    });
    for (index n = 0; n < pitch; ++n) factor[n] = sum[n] == T(0) ? T(0) : T(1) / sum[n];
  }
};

}  // namespace heed::detail
