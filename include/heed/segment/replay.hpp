// SPDX-License-Identifier: BSL-1.0
// What gradients along edges have in common. Two sums over the graph:
//
//   by destination   p_e = e^{s_e - lse}, ds_e = p_e (dO · v_e - δ), δ = dO · O: kept for every
//                    edge and head; ds also goes to the destination's row
//   by source        Σ p_e dO and what ds gives the source's row, through the transposed graph
//
// Every row has one owner, nothing is scattered. Memory: 2 E H numbers, p and ds of an edge side by
// side, since the second sum meets edges in another order.
#pragma once

#include <heed/segment/kernels.hpp>
#include <heed/segment/problem.hpp>
#include <heed/segment/sums.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

// What the forward call wrote; both are required.
struct edge_forward {
  operand out{}, lse{};
};

namespace detail {

// [E][2][H]: weights and slopes of scores.
template <class T> struct edge_slopes {
  T* data = nullptr;
  index heads = 0;

  static index size(index edges, index heads) { return 2 * edges * heads; }
  T* weights(index e) const { return data + 2 * e * heads; }
  T* slopes(index e) const { return data + (2 * e + 1) * heads; }
};

// One node's share of what comes back: dO, lse and δ.
template <class T, class Arch> struct returned {
  row_source<T> out, d_out;
  operand lse;
  T* delta;  // [N][H]
  edge_slopes<T> kept;
  index heads;

  template <class Arena> struct task {
    const returned& all;
    T *d_out, *out, *lse, *delta, *s, *dp;

    task(const returned& r, Arena& a)
        : all(r),
          d_out(a.template take<T>(r.d_out.width())),
          out(a.template take<T>(r.out.width())),
          lse(a.template take<T>(r.heads)),
          delta(a.template take<T>(r.heads)),
          s(a.template take<T>(r.heads * segment_block)),
          dp(a.template take<T>(r.heads * segment_block)) {}

    void begin(index node) {
      const index depth = all.out.depth();
      all.d_out.copy(node, d_out), all.out.copy(node, out);
      simd::load_row(all.lse.type, all.lse.row(0, 0, node), all.lse.stride[1], all.heads, lse);
      for (index h = 0; h < all.heads; ++h)
        delta[h] = simd::dot_row<Arch>(d_out + h * depth, out + h * depth, depth);
    }
    // s: logits become weights; dp = dO · v become slopes.
    void slopes(index count) {
      edge_weights<T, Arch>(s, lse, count, all.heads);
      for (index h = 0; h < all.heads; ++h)
        for (index j = 0; j < segment_block; ++j)
          dp[h * segment_block + j] =
              s[h * segment_block + j] * (dp[h * segment_block + j] - delta[h]);
    }
    void keep(index first, index count) {
      for (index j = 0; j < count; ++j) {
        T *const p = all.kept.weights(first + j), *const ds = all.kept.slopes(first + j);
        for (index h = 0; h < all.heads; ++h)
          p[h] = s[h * segment_block + j], ds[h] = dp[h * segment_block + j];
      }
    }
    void finish(index node) { std::copy_n(delta, all.heads, all.delta + node * all.heads); }
  };
};

// p and ds of the next edges of a source: [H][segment_block] each.
template <class T> struct slopes_by_source {
  const transposed& by;
  edge_slopes<T> kept;

  void load(index first, index count, index last, T* p, T* ds) const {
    const index H = kept.heads;
    for (index j = 0; j < count; ++j) {
      const T *const w = kept.weights(by.edge(first + j)), *const s = w + H;
      simd::prefetch(kept.weights(by.edge(std::min(first + j + ahead, last - 1))),
                     2 * H * index(sizeof(T)));
      for (index h = 0; h < H; ++h)
        p[h * segment_block + j] = w[h], ds[h * segment_block + j] = s[h];
    }
  }
  static constexpr index ahead = 16;
};

template <class T> void store_heads(const result& x, index node, const T* row) {
  if (!x.present()) return;
  for (index h = 0; h < x.extent[1]; ++h)
    simd::store_row(x.type, row + h * x.extent[3], x.extent[3], x.row(0, h, node), x.stride[3]);
}

// Gradients of a table [1,H|1,E|1,1] that was added to scores.
template <class T>
void store_slopes(const edge_slopes<T>& kept, index edges, const result& to,
                  const executor_ref& executor) {
  if (!to.present()) return;
  const index H = kept.heads;
  if (to.extent[2] != edges) {
    for (index h = 0; h < to.extent[1]; ++h) {
      double sum = 0;
      for (index e = 0; e < edges; ++e)
        for (index i = h; i < (to.extent[1] == 1 ? H : h + 1); ++i)
          sum += double(kept.slopes(e)[i]);
      simd::store_row(to.type, &sum, 1, to.row(0, h, 0), 1);
    }
    return;
  }
  constexpr index some = 4096;
  executor.for_each((edges + some - 1) / some, [&](index task, index) {
    for (index e = task * some; e < std::min(edges, (task + 1) * some); ++e) {
      const T* const ds = kept.slopes(e);
      if (to.extent[1] == H) {
        simd::store_row(to.type, ds, H, to.row(0, 0, e), to.stride[1]);
        continue;
      }
      T sum = 0;
      for (index h = 0; h < H; ++h) sum += ds[h];
      simd::store_row(to.type, &sum, 1, to.row(0, 0, e), 1);
    }
  });
}

// d null = -e^{null - lse} δ, summed where the table stands for several nodes or heads. `sum` has
// broadcast::sums(to) numbers.
template <class T>
void store_null(const operand& null, const operand& lse, const T* delta, index nodes, index heads,
                const result& to, double* sum) {
  if (!to.present()) return;
  std::fill_n(sum, broadcast::sums(to), 0.0);
  for (index i = 0; i < nodes; ++i)
    for (index h = 0; h < heads; ++h) {
      const double z = broadcast::element<double>(null, 0, h, i, 0);
      if (z == -std::numeric_limits<double>::infinity()) continue;
      sum[broadcast::sum_at(to, 0, h, i, 0)] -=
          std::exp(z - broadcast::element<double>(lse, 0, h, i, 0)) * double(delta[i * heads + h]);
    }
  broadcast::store_sums(to, sum);
}

// Learned rows [1,H,1,D]: what every task added, in the order of tasks.
template <class T>
void store_learned(const result& to, const T* each, index tasks, index width, double* sum) {
  if (!to.present()) return;
  std::fill_n(sum, width, 0.0);
  for (index t = 0; t < tasks; ++t)
    for (index c = 0; c < width; ++c) sum[c] += double(each[t * width + c]);
  store_heads(to, 0, sum);
}

inline void check_returned(const char* operation, const edge_forward& forward, const operand& d_out,
                           const extents& out) {
  check_rows(operation, {"out", forward.out}, out);
  check_rows(operation, {"lse", forward.lse}, {1, out[1], out[2], 1});
  check_rows(operation, {"d_out", d_out}, out);
}

}  // namespace detail

}  // namespace heed
