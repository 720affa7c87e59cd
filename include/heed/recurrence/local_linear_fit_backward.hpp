// SPDX-License-Identifier: BSL-1.0
// Gradients of the linear fits of a panel of queries. With δ = Σ a, b_j = 1 - z_j·ρ, a_j = w_j b_j:
//
//   g_j = dO·(v_j - o) / δ            dρ = -Σ_j w_j g_j z_j,   y = Σ⁻¹ dρ: the solver once more
//   h_j = g_j + z_j·y                 dz_j = a_j y - w_j h_j ρ,   ds_j = a_j h_j,   dλ = -y·ρ
//   dv_j += a_j dO / δ                dk_j += dz_j + s ds_j q,    dq = -Σ_j dz_j + s Σ_j ds_j k_j
//
// and the largest score of a row, by which its weights are divided, loses the sum of ds.
#pragma once

#include <heed/recurrence/local_linear_fit.hpp>
#include <heed/simd/product.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

template <class T, class Arch> struct local_linear_fit_backward : local_linear_fit<T, Arch> {
  using fit = local_linear_fit<T, Arch>;
  using B = typename fit::B;
  using fit::q, fit::w, fit::mu, fit::rho, fit::t, fit::o, fit::x, fit::end;
  using fit::W, fit::pitch, fit::tile, fit::depth, fit::value_depth, fit::vectors, fit::count;

  static constexpr index padded(index n) { return (n + W - 1) / W * W; }

  index width, columns;                    // whole vectors of D and Dv
  T *d_o, *y, *dq, *u, *ds;                // [channel][lane], [tile][lane]
  T *q_rows, *y_rows, *rho_rows, *o_rows;  // [lane][channel]
  T *dk, *dv;                              // [key][channel], of all queries

  static index bytes(index depth, index dv, index most) {
    const index width = padded(depth), columns = padded(dv);
    return fit::bytes(depth, dv, most) + aligned_bytes(dv * pitch, sizeof(T)) +
           2 * aligned_bytes(depth * pitch, sizeof(T)) +
           2 * aligned_bytes(tile * pitch, sizeof(T)) +
           3 * aligned_bytes(pitch * width, sizeof(T)) + aligned_bytes(pitch * columns, sizeof(T)) +
           aligned_bytes(most * width, sizeof(T)) + aligned_bytes(most * columns, sizeof(T));
  }
  local_linear_fit_backward(arena& a, index d, index dv_, index keys)
      : fit(a, d, dv_, keys), width(padded(d)), columns(padded(dv_)) {
    d_o = a.take<T>(dv_ * pitch);
    for (T** to : {&y, &dq}) *to = a.take<T>(d * pitch);
    for (T** to : {&u, &ds}) *to = a.take<T>(tile * pitch);
    for (T** to : {&q_rows, &y_rows, &rho_rows}) *to = a.take<T>(pitch * width);
    o_rows = a.take<T>(pitch * columns);
    dk = a.take<T>(keys * width), dv = a.take<T>(keys * columns);
    for (T* to : {q_rows, y_rows, rho_rows}) std::fill_n(to, pitch * width, T(0));
    std::fill_n(o_rows, pitch * columns, T(0));
    std::fill_n(dk, keys * width, T(0));
    std::fill_n(dv, keys * columns, T(0));
  }

  // After `begin`, d_o in lanes. Adds to dk and dv, leaves dq in rows of `fit::rows`; returns the
  // gradient of λ.
  double run(T scale, bool uniform) {
    T factor[pitch], delta[pitch], total[pitch], qr[pitch], qy[pitch],
        of_u[pitch] = {}, of_s[pitch] = {}, sum[pitch] = {};
    fit::outputs(factor);
    each([&](index n) {
      B all(T(0));
      for (index c = n; c < value_depth * pitch; c += pitch)
        all = simd::fma(at(d_o + c), at(o + c), all);
      simd::store(delta + n, B(all * at(factor + n)));
    });
    const auto of_values = [&](index j, index some, T* to) {
      simd::scores<T, Arch>(vectors, x.v + j * x.v_stride, x.v_stride, some, d_o, pitch,
                            value_depth, to, pitch);
    };
    fit::moments([&](index j, index some) { of_values(j, some, t); },
                 [&](const B& dov, const B& weight, index n, index) {
                   return B(weight * (at(delta + n) - dov) * at(factor + n));
                 },
                 mu, total);
    fit::solve(mu, y);
    fit::dots(q, rho, qr);
    fit::dots(q, y, qy);
    to_rows(q, depth, q_rows, width, nullptr);
    to_rows(y, depth, y_rows, width, nullptr);
    to_rows(rho, depth, rho_rows, width, nullptr);
    to_rows(d_o, value_depth, o_rows, columns, factor);
    simd::clear<T, Arch>(vectors, pitch, depth, dq);
    fit::each_tile([&](index j, index some) {
      fit::products(y, j, some, u);
      of_values(j, some, ds);
      fit::products(rho, j, some, t);
      // b in t, h in u
      each([&](index n) {
        for (index i = n; i < some * pitch + n; i += pitch) {
          const B g = (at(ds + i) - at(delta + n)) * at(factor + n);
          simd::store(u + i, B(g + (at(u + i) - at(qy + n))));
          simd::store(t + i, B(B(T(1)) - (at(t + i) - at(qr + n))));
          simd::store(ds + i, B(at(t + i) * at(u + i) * B(scale)));
        }
      });
      const auto times = [](const B& f, const B& weight, index, index) { return B(weight * f); };
      const auto minus = [](const B& f, const B& weight, index, index) {
        return B(B(T(0)) - weight * f);
      };
      fit::weighted(j, some, t, sum, times);   // a
      fit::weighted(j, some, u, of_u, minus);  // -w h
      fit::weighted(j, some, ds, of_s, times);
      if (uniform) std::fill_n(ds, some * pitch, T(0));
      fit::accumulate(ds, j, some, x.k, x.k_stride, depth, dq);
      simd::product<T, Arch>(some, width,
                             {{t, pitch, 1, y_rows, width, count},
                              {u, pitch, 1, rho_rows, width, count},
                              {ds, pitch, 1, q_rows, width, count}},
                             {dk + j * width, width, simd::onto::itself});
      simd::product<T, Arch>(some, columns, {{t, pitch, 1, o_rows, columns, count}},
                             {dv + j * columns, columns, simd::onto::itself});
    });
    T one[pitch];
    for (index n = 0; n < pitch; ++n) one[n] = 1, sum[n] = -sum[n], of_u[n] = -of_u[n];
    fit::blend(one, dq, sum, y);
    fit::blend(one, dq, of_u, rho);
    simd::from_lanes<T, Arch>(dq, pitch, count, depth, one, fit::rows, depth);
    if (!uniform) of_largest(of_s);
    fit::dots(y, rho, total);
    double of_ridge = 0;
    for (index n = 0; n < count; ++n) of_ridge -= double(total[n]);
    return of_ridge;
  }

 private:
  static B at(const T* p) { return simd::load<T, Arch>(p); }
  template <class F> void each(const F& f) const { fit::each_lane(f); }
  void to_rows(const T* from, index channels, T* to, index stride, const T* factor) const {
    T one[pitch];
    std::fill_n(one, pitch, T(1));
    simd::from_lanes<T, Arch>(from, pitch, count, channels, factor ? factor : one, to, stride);
  }
  // The largest score's share, -Σ_j s ds_j. Its weight is exactly 1.
  void of_largest(const T* of_s) {
    for (index n = 0; n < count; ++n)
      for (index j = 0; j < end; ++j) {
        if (w[j * pitch + n] != T(1)) continue;
        simd::blend<Arch>(T(1), -of_s[n], q_rows + n * width, depth, dk + j * width);
        simd::blend<Arch>(T(1), -of_s[n], x.k + j * x.k_stride, depth, fit::rows + n * depth);
        break;
      }
  }
};

}  // namespace heed::detail
