// SPDX-License-Identifier: BSL-1.0
// Gradients of one block of recurrence/titans. With G = (QKᵀ)∘N, F = (dO Eᵀ)∘N, and for the last
// token C of the block N_C, H_C, dM and dS of the state after it:
//
//   dE = Gᵀ dO + (N_C∘K) dM + (H_C∘K) dS           E_j = 2 θ_j R_j, R_j = v_j - Wᵀ k_j
//   dQ = F K  + A∘(dO M_0ᵀ) + B∘(dO S_0ᵀ)
//   dK = Fᵀ Q + N_C∘(E dMᵀ) + H_C∘(E dSᵀ) - dR Wᵀ
//   dM_0 = A_C dM + (A∘Q)ᵀ dO,   dS_0 = P_C dS + B_C dM + (B∘Q)ᵀ dO,   dW -= Kᵀ dR
//
// Every N, A, B, P and H gets its own gradient, a product of pairs, and `titans_gates::reverse`
// takes them back to the decays. Products with a transposed matrix are taken as the transpose of
// the other order, so only rows of tokens are ever transposed.
#pragma once

#include <heed/recurrence/titans_block.hpp>
#include <heed/simd/transpose_add.hpp>

namespace heed::detail {

template <class T, class Arch> struct titans_block_backward : titans_block<T, Arch> {
  using block = titans_block<T, Arch>;
  using block::count, block::depth, block::width, block::columns, block::q, block::k, block::v;
  using block::e, block::g, block::x, block::y, block::kt, block::o;
  using block::most, block::of_m, block::of_s, block::pitch;

  index value_depth;
  T *d_o, *missed, *dr, *dq, *dk;       // rows
  T *ot, *et;                           // [Dv][token]
  T *of_q, *of_qs, *of_k, *of_ks, *wr;  // [Dk][token]
  T *qk, *oe, *f, *dn, *dh;             // [token][token]
  T d_eta[most], d_alpha[most], d_theta[most];

  static index bytes(index depth, index dv) {
    const index rows = block::rows_bytes(pitch) + aligned_bytes(pitch, sizeof(T));
    return block::bytes(depth, dv) + 3 * block::rows_bytes(block::padded(dv)) +
           2 * block::rows_bytes(block::padded(depth)) + 2 * aligned_bytes(dv * pitch, sizeof(T)) +
           5 * aligned_bytes(depth * pitch, sizeof(T)) + 5 * rows;
  }
  titans_block_backward(arena& a, index dk_, index dv_) : block(a, dk_, dv_), value_depth(dv_) {
    for (T** to : {&d_o, &missed, &dr}) *to = a.take<T>(most * columns);
    for (T** to : {&dq, &dk}) *to = a.take<T>(most * width);
    for (T** to : {&ot, &et}) *to = a.take<T>(dv_ * pitch);
    for (T** to : {&of_q, &of_qs, &of_k, &of_ks, &wr}) *to = a.take<T>(depth * pitch);
    for (T** to : {&qk, &oe, &f, &dn, &dh}) *to = a.take<T>((most + 1) * pitch);
    std::fill_n(d_o, most * columns, T(0));
  }

  // The state after the block.
  void absorb(const titans_state<T>& state) {
    if (count == 1) return block::run_token(state);
    this->build(count);
    block::errors(state.w, e);
    block::advance(state);
  }

  // `at`: the state before the block; `d`: the gradient of that after it, then of `at`, that of W
  // added to. Leaves the gradients of the tokens in dq, dk, dr (of v) and d_eta, d_alpha, d_theta.
  void run(const titans_state<T>& at, const titans_state<T>& d) {
    this->build(count);
    block::errors(at.w, missed);
    const index last = count - 1, wide = block::padded(count);
    block::pairs(qk);
    lanes_of(d_o, ot);
    lanes_of(e, et);
    simd::product<T, Arch>(count, wide, {{d_o, columns, 1, et, pitch, value_depth}},
                           {oe, pitch, simd::onto::nothing, nullptr, true});
    times(at.m, d_o, ot, of_q), times(at.s, d_o, ot, of_qs);
    times(d.m, e, et, of_k), times(d.s, e, et, of_ks);
    block::weighted(qk, g);
    block::weighted(oe, f);
    of_gates(at, d);

    block::scale([&](index j) { return this->N(last, j); }, k, x);
    block::scale([&](index j) { return this->H(last, j); }, k, y);
    simd::product<T, Arch>(count, columns,
                           {{g, 1, pitch, d_o, columns, count},
                            {x, width, 1, d.m, columns, depth},
                            {y, width, 1, d.s, columns, depth}},
                           {dr, columns});
    for (index i = 0; i < count; ++i) {
      T* const row = dr + i * columns;
      d_theta[i] = 2 * simd::dot_row<Arch>(row, missed + i * columns, columns);
      for (index c = 0; c < columns; ++c) row[c] *= -2 * this->theta[i];  // -dR
    }
    lanes_of(dr, et);
    times(at.w, dr, et, wr);
    of_rows();
    of_state(d);
    for (index c = 0; c < count * columns; ++c) dr[c] = -dr[c];
  }

 private:
  void lanes_of(const T* rows, T* to) const {
    simd::to_lanes<T, Arch>(rows, columns, count, value_depth, T(1), to, pitch);
  }
  // (rows · matrixᵀ)ᵀ, of rows given both ways. One row fills no lanes.
  void times(const T* matrix, const T* row, const T* rows, T* to) const {
    if (count == 1) {
      for (index r = 0; r < depth; ++r)
        to[r * pitch] = simd::dot_row<Arch>(matrix + r * columns, row, columns);
      return;
    }
    simd::product<T, Arch>(depth, block::padded(count),
                           {{matrix, columns, 1, rows, pitch, value_depth}}, {to, pitch});
  }
  // rows_i · column i
  T along(const T* rows, const T* matrix, index i) const {
    T sum = 0;
    for (index r = 0; r < depth; ++r) sum += rows[i * width + r] * matrix[r * pitch + i];
    return sum;
  }

  void of_gates(const titans_state<T>& at, const titans_state<T>& d) {
    const index last = count - 1, size = depth * columns;
    std::fill_n(dn, (count + 1) * pitch, T(0));
    std::fill_n(dh, pitch, T(0));
    for (index i = 0; i < count; ++i) {
      T* const row = dn + (i + 1) * pitch;
      for (index j = 0; j < i; ++j) row[j] = qk[i * pitch + j] * oe[i * pitch + j];
      row[of_m] = along(q, of_q, i);
      row[of_s] = along(q, of_qs, i);
    }
    T* const end = dn + count * pitch;
    for (index j = 0; j < last; ++j) end[j] += along(k, of_k, j), dh[j] = along(k, of_ks, j);
    end[of_m] += simd::dot_row<Arch>(d.m, at.m, size);
    end[of_s] += simd::dot_row<Arch>(d.m, at.s, size);
    dh[of_s] = simd::dot_row<Arch>(d.s, at.s, size);
    this->reverse(count, dn, dh, d_eta, d_alpha);
    for (index i = 0; i < count; ++i) d_eta[i] *= this->eta[i], d_alpha[i] *= this->alpha[i];
  }

  void of_rows() {
    const index last = count - 1;
    simd::product<T, Arch>(count, width, {{f, pitch, 1, k, width, count, true}}, {dq, width});
    simd::product<T, Arch>(count, width, {{f, 1, pitch, q, width, count}}, {dk, width});
    for (index r = 0; r < depth; ++r)
      for (index i = 0, n = r * pitch; i < count; ++i, ++n) {
        of_q[n] = this->N(i, of_m) * of_q[n] + this->N(i, of_s) * of_qs[n];
        of_k[n] = this->N(last, i) * of_k[n] + this->H(last, i) * of_ks[n] + wr[n];
      }
    simd::transpose_add<T, Arch>(of_q, pitch, depth, count, dq, width);
    simd::transpose_add<T, Arch>(of_k, pitch, depth, count, dk, width);
  }

  void of_state(const titans_state<T>& d) {
    const index last = count - 1, size = depth * columns;
    simd::product<T, Arch>(depth, columns, {{k, 1, width, dr, columns, count}},
                           {d.w, columns, simd::onto::itself});
    simd::blend<Arch>(this->H(last, of_s), this->N(last, of_s), d.m, size, d.s);
    simd::blend<Arch>(this->N(last, of_m), T(0), d.m, size, d.m);
    block::scale([&](index i) { return this->N(i, of_m); }, q, x);
    block::scale([&](index i) { return this->N(i, of_s); }, q, y);
    simd::product<T, Arch>(depth, columns, {{x, 1, width, d_o, columns, count}},
                           {d.m, columns, simd::onto::itself});
    simd::product<T, Arch>(depth, columns, {{y, 1, width, d_o, columns, count}},
                           {d.s, columns, simd::onto::itself});
  }
};

}  // namespace heed::detail
