// SPDX-License-Identifier: BSL-1.0
// What the gates of a block of recurrence/titans make of earlier tokens and of the state before it:
//
//   S_i = P_i S_0 + Σ_{j<=i} H_ij k_j E_jᵀ            H_ij = η_i H_{i-1,j}, H_ii = 1
//   M_i = A_i M_0 + B_i S_0 + Σ_{j<=i} N_ij k_j E_jᵀ  N_ij = α_i N_{i-1,j} + H_ij
//
// With S_0 as token -1 of weights H = 1, N = 0, and M_0 as one of weights H = 0, N = 1, the columns
// of P, B and A are two more columns of H and N. All products are of decays, so a decay of 0 or 1
// is as good as any, and the reverse of the recursion needs no quotient either.
#pragma once

#include <algorithm>
#include <heed/core/workspace.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

template <class T, class Arch> struct titans_gates {
  static constexpr index most = 32;  // tokens of a block: as many as fit two products' rows in L1
  static constexpr index lanes = simd::width<T, Arch>;
  // Columns: tokens, then S_0, then M_0.
  static constexpr index pitch = (most + 2 + lanes - 1) / lanes * lanes;
  static constexpr index of_s = most, of_m = most + 1;

  T eta[most], alpha[most], theta[most];
  T h_[(most + 1) * pitch], n_[(most + 1) * pitch];  // row i + 1 is token i's, row 0 the state's

  T H(index i, index j) const { return h_[(i + 1) * pitch + j]; }
  T N(index i, index j) const { return n_[(i + 1) * pitch + j]; }

  void build(index count) {
    std::fill_n(h_, pitch, T(0));
    std::fill_n(n_, pitch, T(0));
    h_[of_s] = n_[of_m] = 1;
    for (index i = 0; i < count; ++i) {
      T *const x = h_ + (i + 1) * pitch, *const y = n_ + (i + 1) * pitch;
      std::copy_n(x - pitch, pitch, x);
      std::copy_n(y - pitch, pitch, y);
      for (index c = 0; c < pitch; c += lanes) {
        using B = simd::batch<T, Arch>;
        const B next = B(eta[i]) * simd::load<T, Arch>(x + c);
        simd::store(x + c, next);
        simd::store(y + c, simd::fma(B(alpha[i]), simd::load<T, Arch>(y + c), next));
      }
      x[i] = y[i] = 1;
    }
  }

  // From dL/dN of every token and dL/dH of the last, in dn (rows as those of n_) and dh (one row),
  // to dL/dη and dL/dα. Overwrites both.
  void reverse(index count, T* dn, T* dh, T* d_eta, T* d_alpha) const {
    for (index i = count - 1; i >= 0; --i) {
      T *const to = dn + (i + 1) * pitch, *const before = to - pitch;
      simd::blend<Arch>(T(1), T(1), to, pitch, dh);
      to[i] = dh[i] = 0;  // N_ii and H_ii are constants
      d_alpha[i] = simd::dot_row<Arch>(to, n_ + i * pitch, pitch);
      d_eta[i] = simd::dot_row<Arch>(dh, h_ + i * pitch, pitch);
      simd::blend<Arch>(T(1), alpha[i], to, pitch, before);
      simd::blend<Arch>(eta[i], T(0), to, pitch, dh);
    }
  }
};

}  // namespace heed::detail
