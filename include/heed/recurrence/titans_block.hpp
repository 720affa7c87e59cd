// SPDX-License-Identifier: BSL-1.0
// One block of tokens of one head of recurrence/titans: rows as the engine holds them, and the
// forward pass over them. A block lies within a chunk, so that all its errors are those of W.
#pragma once

#include <heed/recurrence/titans_gates.hpp>
#include <heed/simd/product.hpp>
#include <heed/simd/transpose.hpp>

namespace heed::detail {

// The matrices of a head, [depth][pitch]; W is the memory before the chunk's first token.
template <class T> struct titans_state {
  T *m, *s, *w;
  index pitch;
};

template <class T, class Arch> struct titans_block : titans_gates<T, Arch> {
  using gates = titans_gates<T, Arch>;
  using gates::alpha, gates::eta, gates::most, gates::of_m, gates::of_s, gates::pitch, gates::theta;
  static constexpr index lanes = simd::width<T, Arch>;
  static constexpr index padded(index n) { return (n + lanes - 1) / lanes * lanes; }

  index count = 0, depth, width, columns;  // width, columns: whole vectors of Dk and Dv
  T *q, *k, *v, *o, *e;                    // rows; e_j = 2 θ_j (v_j - Wᵀk_j)
  T *kt, *g, *x, *y;                       // Kᵀ, (QKᵀ)∘N, rows of q or k times numbers

  static index rows_bytes(index n) { return aligned_bytes(most * n, sizeof(T)); }
  static index bytes(index depth, index value_depth) {
    return 4 * rows_bytes(padded(depth)) + 3 * rows_bytes(padded(value_depth)) +
           aligned_bytes(depth * pitch, sizeof(T)) + rows_bytes(pitch);
  }
  titans_block(arena& a, index dk, index dv) : depth(dk), width(padded(dk)), columns(padded(dv)) {
    for (T** to : {&q, &k, &x, &y}) *to = a.take<T>(most * width);
    for (T** to : {&v, &o, &e}) *to = a.take<T>(most * columns);
    kt = a.take<T>(depth * pitch);
    g = a.take<T>(most * pitch);
    // Lanes past the last channel stay zero.
    for (T* to : {q, k, x, y}) std::fill_n(to, most * width, T(0));
    for (T* to : {v, o, e}) std::fill_n(to, most * columns, T(0));
  }

  // to_i = factor(i) · from_i
  template <class F> void scale(const F& factor, const T* from, T* to) const {
    for (index i = 0; i < count; ++i) {
      const T f = factor(i);
      for (index c = 0; c < width; ++c) to[i * width + c] = f * from[i * width + c];
    }
  }
  // E, with what Wᵀk misses of v in `missed`, which may be E.
  void errors(const T* w, T* missed) {
    simd::product<T, Arch>(count, columns, {{k, width, 1, w, columns, depth}}, {e, columns});
    for (index i = 0; i < count; ++i)
      for (index c = i * columns; c < (i + 1) * columns; ++c) {
        missed[c] = v[c] - e[c];
        e[c] = 2 * theta[i] * missed[c];
      }
  }
  // x_ij of queries and keys, i >= j, others untouched.
  void pairs(T* to) {
    simd::to_lanes<T, Arch>(k, width, count, depth, T(1), kt, pitch);
    simd::product<T, Arch>(count, padded(count), {{q, width, 1, kt, pitch, depth}},
                           {to, pitch, simd::onto::nothing, nullptr, true});
  }
  // to = from ∘ N, zero above the diagonal.
  void weighted(const T* from, T* to) const {
    for (index i = 0; i < count; ++i) {
      for (index j = 0; j <= i; ++j) to[i * pitch + j] = from[i * pitch + j] * this->N(i, j);
      std::fill(to + i * pitch + i + 1, to + (i + 1) * pitch, T(0));
    }
  }

  // Everything from q, k, v and the gates on; leaves the outputs in o.
  void run(const titans_state<T>& state) {
    if (count == 1) return run_token(state);
    gates::build(count);
    errors(state.w, e);
    pairs(g);
    weighted(g, g);
    scale([&](index i) { return this->N(i, of_m); }, q, x);
    scale([&](index i) { return this->N(i, of_s); }, q, y);
    simd::product<T, Arch>(count, columns,
                           {{x, width, 1, state.m, columns, depth},
                            {y, width, 1, state.s, columns, depth},
                            {g, pitch, 1, e, columns, count, true}},
                           {o, columns});
    advance(state);
  }
  // M and S after the block.
  void advance(const titans_state<T>& state) {
    const index last = count - 1, size = depth * columns;
    scale([&](index j) { return this->N(last, j); }, k, x);
    scale([&](index j) { return this->H(last, j); }, k, y);
    simd::blend<Arch>(this->N(last, of_m), this->N(last, of_s), state.s, size, state.m);
    simd::blend<Arch>(this->H(last, of_s), T(0), state.s, size, state.s);
    simd::product<T, Arch>(depth, columns, {{x, 1, width, e, columns, count}},
                           {state.m, columns, simd::onto::itself});
    simd::product<T, Arch>(depth, columns, {{y, 1, width, e, columns, count}},
                           {state.s, columns, simd::onto::itself});
  }

  // The token form; `state.pitch` columns, any number.
  HEED_NOINLINE void run_token(const titans_state<T>& state) {
    index c = 0;
    for (; c + 4 * lanes <= state.pitch; c += 4 * lanes) token_columns<Arch, 4>(state, c);
    for (; c + lanes <= state.pitch; c += lanes) token_columns<Arch, 1>(state, c);
    for (; c < state.pitch; ++c) token_columns<simd::scalar, 1>(state, c);
  }

 private:
  template <class A, int NV> HEED_INLINE void token_columns(const titans_state<T>& state, index c) {
    using B = simd::batch<T, A>;
    constexpr index W = simd::width<T, A>;
    B error[NV], sum[NV];
    HEED_UNROLL for (int i = 0; i < NV; ++i) error[i] = sum[i] = B(T(0));
    for (index r = 0; r < depth; ++r)
      HEED_UNROLL for (int i = 0; i < NV; ++i) error[i] =
          simd::fma(B(k[r]), simd::load<T, A>(state.w + r * state.pitch + c + i * W), error[i]);
    HEED_UNROLL for (int i = 0; i < NV; ++i) error[i] =
        B(2 * theta[0]) * (simd::load<T, A>(v + c + i * W) - error[i]);
    for (index r = 0; r < depth; ++r) HEED_UNROLL for (int i = 0; i < NV; ++i) {
        T* const s = state.s + r * state.pitch + c + i * W;
        T* const m = state.m + r * state.pitch + c + i * W;
        const B next = simd::fma(B(k[r]), error[i], B(B(eta[0]) * simd::load<T, A>(s)));
        const B memory = simd::fma(B(alpha[0]), simd::load<T, A>(m), next);
        simd::store(s, next);
        simd::store(m, memory);
        sum[i] = simd::fma(B(q[r]), memory, sum[i]);
      }
    HEED_UNROLL for (int i = 0; i < NV; ++i) simd::store(o + c + i * W, sum[i]);
  }
};

}  // namespace heed::detail
