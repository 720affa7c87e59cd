// SPDX-License-Identifier: BSL-1.0
// normalizer/stick_breaking: a row's keys break pieces off a stick of length one, the nearest
// first,
//
//   p_ij = σ(s_ij) Π_{j<k<i} (1 - σ(s_ik)),   j < i
//
// so recent keys win without positions (Tan et al., Stick-breaking attention, 2024). The query's
// own key takes no part unless `self`: then j <= i. What is left, 1 - Σ_j p_ij = Π (1 - σ), may
// weigh the query's own value (`rest_to_self`), and is told in `rest` [B,H,Lq] if that is given.
// Keys after the query, where the mask shows them, break off theirs first.
//
// One pass from the last key to the first, lanes are queries. Backward, from p and s:
//   ds_j = p_j (1 - σ_j) dp_j - σ_j Σ_{k<j} p_k dp_k
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/check.hpp>
#include <heed/core/storage.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct stick_breaking {
  bool self = false;
  bool rest_to_self = false;
  result rest{};
  using whole_rows = void;

  void check(const problem_shape& shape) const {
    const extents want{shape.batch, shape.heads, shape.queries, 1};
    if (rest.present() && rest.extent != want)
      check::fail("heed::stick_breaking", "rest must be " + check::print(want), {{"rest", rest}});
  }
  index scratch(index, index) const { return 0; }

  template <class Arch, class T> void solve(const row_scores<T>& x, T*) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    for (index v = 0; v < x.pitch; v += W) {
      bool own[W];
      for (index i = 0; i < W; ++i) own[i] = sees_itself(x, x.s, v + i);
      B left(T(1));
      for (index j = x.keys; j-- > 0;) {
        T* const at = x.s + j * x.pitch + v;
        const B s = shown<Arch>(x, x.s, v, j);
        simd::store(at, B(simd::sigmoid(s) * left));
        left = left * simd::sigmoid(B(-s));
      }
      T each[W];
      simd::store(each, left);
      for (index lane = v; lane < std::min(v + W, x.rows); ++lane) {
        const T* const remains = each + lane - v;
        if (rest_to_self && own[lane - v]) x.s[own_key(x, lane) * x.pitch + lane] += *remains;
        if (rest.present() && lane >= x.first && lane < x.first + x.own)
          simd::store_row(rest.type, remains, 1, rest.row(x.b, x.h, x.row + lane), 1);
      }
    }
  }

  // `s` holds the scores.
  template <class Arch, class T>
  void solve_backward(const row_scores<T>& p, const T* s, T* d, T*) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B zero(T(0));
    for (index v = 0; v < p.pitch; v += W) {
      T to_self[W] = {};
      if (rest_to_self)
        for (index i = 0; i < W; ++i)
          if (sees_itself(p, s, v + i)) to_self[i] = d[own_key(p, v + i) * p.pitch + v + i];
      B left(T(1));
      for (index j = p.keys; j-- > 0;) {
        T* const at = d + j * p.pitch + v;
        const B y = shown<Arch>(p, s, v, j), weight = simd::sigmoid(y) * left;
        simd::store(at, B(simd::select(weight == zero, zero,
                                       B(weight * simd::load<T, Arch>(at)))));  // p dp
        left = left * simd::sigmoid(B(-y));
      }
      B below = left * simd::load<T, Arch>(to_self);
      for (index j = 0; j < p.keys; ++j) {
        T* const at = d + j * p.pitch + v;
        const B y = shown<Arch>(p, s, v, j), by = simd::load<T, Arch>(at);
        simd::store(at, B(by * simd::sigmoid(B(-y)) - simd::sigmoid(y) * below));
        below = below + by;
      }
    }
  }

 private:
  template <class T> static index own_key(const row_scores<T>& x, index lane) {
    return x.q + lane - x.k;
  }
  template <class T> static bool sees_itself(const row_scores<T>& x, const T* s, index lane) {
    const index j = own_key(x, lane);
    return lane < x.rows && j >= 0 && j < x.keys && !(s[j * x.pitch + lane] <= masked<T> / 2);
  }
  // Scores of key j, far below zero for the lane whose own it is.
  template <class Arch, class T>
  simd::batch<T, Arch> shown(const row_scores<T>& x, const T* s, index v, index j) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B y = simd::load<T, Arch>(s + j * x.pitch + v);
    const index lane = x.k + j - x.q - v;
    if (self || lane < 0 || lane >= W) return y;
    T each[W];
    simd::store(each, y);
    each[lane] = masked<T>;
    return simd::load<T, Arch>(each);
  }
};

}  // namespace heed
