// SPDX-License-Identifier: BSL-1.0
// A panel of queries of recurrence/local_linear against the keys of one head, lanes being queries:
// weights, products with the matrices Σ_i by two passes of the tile kernels, conjugate gradients.
//
// Σ_i is never formed: Σ_i p = Kᵀt - (Σ_j t_j) q_i + λ p with t_j = w_ij (k_j·p - q_i·p) is 4 N D
// operations at the speed of the kernels, for all lanes at once; forming it is N D² at the speed of
// memory, and D / 4 iterations are more than convergence takes but for the smallest λ.
#pragma once

#include <algorithm>
#include <heed/core/workspace.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/tile.hpp>
#include <heed/simd/transpose.hpp>

namespace heed::detail {

// Keys and values of one sequence and head, rows of the compute type.
template <class T> struct local_rows {
  const T *k, *v;
  index k_stride, v_stride, count;
  bool finite;  // all of them: what a mask hides then leaks nothing as 0 · x
};

template <class T, class Arch> struct local_linear_panel {
  using B = simd::batch<T, Arch>;
  static constexpr index W = simd::width<T, Arch>, pitch = simd::shape<T, Arch>::panel;
  static constexpr index tile = simd::shape<T, Arch>::key_tile;

  index depth, value_depth, most;  // most: keys
  T *q, *w;                        // [channel][lane], [key][lane]
  T *mu, *rho, *p, *ap;            // [channel][lane]
  T *t, *o, *rows;                 // [tile][lane], [value channel][lane], [lane][channel]

  local_rows<T> x{};
  index count = 0, vectors = 0;  // queries
  index end = 0, full = 0;       // keys that any lane sees, and that all do
  T limit[pitch], top[pitch], lambda = 1, tolerance = 0;
  index iterations = 0;

  static index bytes(index depth, index dv, index most) {
    return 5 * aligned_bytes(depth * pitch, sizeof(T)) + aligned_bytes(most * pitch, sizeof(T)) +
           aligned_bytes(tile * pitch, sizeof(T)) + aligned_bytes(dv * pitch, sizeof(T)) +
           aligned_bytes(pitch * std::max(depth, dv), sizeof(T));
  }
  local_linear_panel(arena& a, index d, index dv, index keys)
      : depth(d), value_depth(dv), most(keys) {
    for (T** to : {&q, &mu, &rho, &p, &ap}) *to = a.take<T>(d * pitch);
    w = a.take<T>(most * pitch), t = a.take<T>(tile * pitch), o = a.take<T>(dv * pitch);
    rows = a.take<T>(pitch * std::max(d, dv));
  }

  template <class F> void each_lane(const F& f) const {
    for (index n = 0; n < vectors * W; n += W) f(n);
  }
  // f(first key, keys) of tiles; those of the part that a mask cuts through apart.
  template <class F> void each_tile(const F& f) const {
    for (index j = 0, some; j < end; j += some)
      f(j, some = std::min(tile, (j < full ? full : end) - j));
  }
  // to_lane = Σ_c x y
  void dots(const T* a, const T* b, T* to) const {
    each_lane([&](index n) {
      B sum(T(0));
      for (index c = 0; c < depth; ++c)
        sum = simd::fma(simd::load<T, Arch>(a + c * pitch + n),
                        simd::load<T, Arch>(b + c * pitch + n), sum);
      simd::store(to + n, sum);
    });
  }
  // y = α y + β x, with a factor a lane
  void blend(const T* alpha, T* y, const T* beta, const T* z) const {
    each_lane([&](index n) {
      const B f = simd::load<T, Arch>(alpha + n), g = simd::load<T, Arch>(beta + n);
      for (index c = n; c < depth * pitch; c += pitch)
        simd::store(y + c,
                    simd::fma(g, simd::load<T, Arch>(z + c), B(f * simd::load<T, Arch>(y + c))));
    });
  }
  void products(const T* of, index j, index some, T* to) const {
    simd::scores<T, Arch>(vectors, x.k + j * x.k_stride, x.k_stride, some, of, pitch, depth, to,
                          pitch);
  }
  // sum[channel][lane] += Σ_j by[j][lane] row_j, of rows that may hold anything where `by` is 0.
  void accumulate(const T* by, index j, index some, const T* from, index stride, index channels,
                  T* sum) const {
    if (j >= full && !x.finite)
      simd::accumulate_selected<T, Arch>(vectors, by, pitch, some, from + j * stride, stride, 4,
                                         channels, sum);
    else
      simd::accumulate<T, Arch>(vectors, by, pitch, some, from + j * stride, stride, 4, channels,
                                sum);
  }
  // to[key][lane] = f(product of the key, weight), 0 where the weight is; sums of them in `sum`.
  template <class F> void weighted(index j, index some, T* to, T* sum, const F& f) const {
    each_lane([&](index n) {
      B all(T(0));
      for (index i = 0; i < some; ++i) {
        const B weight = simd::load<T, Arch>(w + (j + i) * pitch + n);
        const B y = f(simd::load<T, Arch>(to + i * pitch + n), weight, n, j + i);
        const B kept = simd::select(weight == B(T(0)), B(T(0)), y);
        simd::store(to + i * pitch + n, kept);
        all = all + kept;
      }
      simd::store(sum + n, B(simd::load<T, Arch>(sum + n) + all));
    });
  }

  // Weights e^{s - max s}, or 1; q, limits, end and full are set.
  void weigh(T scale, bool uniform) {
    constexpr T hidden = T(-1e30);
    std::fill_n(top, pitch, hidden);
    const auto seen = [&](index j, index n) {
      return B(T(j - full)) < simd::load<T, Arch>(limit + n);
    };
    each_tile([&](index j, index some) {
      products(q, j, some, w + j * pitch);
      each_lane([&](index n) {
        B max = simd::load<T, Arch>(top + n);
        for (index i = j; i < j + some; ++i) {
          B s = B(scale) * simd::load<T, Arch>(w + i * pitch + n);
          if (uniform) s = B(T(0));
          if (i >= full) s = simd::select(seen(i, n), s, B(hidden));
          max = simd::max(max, s);
          simd::store(w + i * pitch + n, s);
        }
        simd::store(top + n, max);
      });
    });
    each_lane([&](index n) {
      const B max = simd::load<T, Arch>(top + n);
      for (index i = 0; i < end; ++i) {
        B e = simd::exp(B(simd::load<T, Arch>(w + i * pitch + n) - max));
        if (i >= full) e = simd::select(seen(i, n), e, B(T(0)));
        simd::store(w + i * pitch + n, e);
      }
    });
  }

  // Σ_j t_j z_j in `to`: Kᵀt - (Σ t) q, t = f(what `load` leaves in t, weight); Σ t in `total`.
  template <class Load, class F> void moments(const Load& load, const F& f, T* to, T* total) const {
    std::fill_n(total, pitch, T(0));
    simd::clear<T, Arch>(vectors, pitch, depth, to);
    each_tile([&](index j, index some) {
      load(j, some);
      weighted(j, some, t, total, f);
      accumulate(t, j, some, x.k, x.k_stride, depth, to);
    });
    T one[pitch], minus[pitch];
    for (index n = 0; n < pitch; ++n) one[n] = 1, minus[n] = -total[n];
    blend(one, to, minus, q);
  }
};

}  // namespace heed::detail
