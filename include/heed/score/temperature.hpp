// SPDX-License-Identifier: BSL-1.0
// score/temperature: s / τ, and scores scaled by the logarithm of the number of keys.
//
// A temperature that is one number for all is `attention::scale`. Scalable softmax: Nakanishi 2025.
// Cost: a multiplication a pair. Throws if τ or a do not broadcast, or `keys` is negative.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>

namespace heed {

namespace detail {

// s · factor[lane].
template <class Arch, class T> struct row_factors {
  const T* factor;
  template <class V> HEED_INLINE V operator()(const V& s, const lanes<V, T>& at) const {
    return s * simd::load<T, Arch>(factor + at.lane);
  }
};

// Σ_j s_j ds_j over the keys of one lane; a masked score, which may be NaN, has ds 0.
template <class T> double column_product(const tile& at, index lane, const T* s, const T* ds) {
  double sum = 0;
  for (index i = lane; i < at.keys * at.pitch; i += at.pitch)
    if (ds[i] != T(0)) sum += double(s[i]) * double(ds[i]);
  return sum;
}

}  // namespace detail

// tau [B|1, H|1, Lq|1, 1].
struct temperature {
  operand tau;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s * grad(s, at);
  }
  // ds'/ds = 1 / τ
  template <simd::number S, class At> S grad(S, const At& at) const {
    return S(1) / broadcast::element<S>(tau, at.b, at.h, at.row, 0);
  }

  struct gradient {
    result tau;  // as tau
  };
  index sums(const gradient& g) const { return broadcast::sums(g.tau); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::temperature", tau, g.tau);
  }
  // dτ = -Σ ds' s / τ²
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T* s, const T* ds, double* sum) const {
    if (!g.tau.present()) return;
    for (index i = 0; i < at.rows; ++i) {
      const double by = broadcast::element<double>(tau, at.b, at.h, at.row + i, 0);
      sum[broadcast::sum_at(g.tau, at.b, at.h, at.row + i, 0)] -=
          detail::column_product(at, i, s, ds) / (by * by);
    }
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.tau, sum); }

  template <class Arch, class T>
  detail::row_factors<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const factor = scratch;
    scratch += at.pitch;
    broadcast::load(tau, at.b, at.h, at.row, 0, 2, at.rows, factor);
    for (index i = 0; i < at.pitch; ++i) factor[i] = i < at.rows ? T(1) / factor[i] : T(0);
    return {factor};
  }
  index scratch(index pitch, index) const { return pitch; }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::temperature", "tau", tau, {shape.batch, shape.heads, shape.queries, 1});
  }
};

// Scalable softmax: s·a_h·ln n, a [1, H|1, 1, 1]. n is `keys`, or, where that is 0, the number of
// keys that a causal mask leaves to the query, q + 1.
struct scalable_softmax {
  operand a;
  index keys = 0;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s * grad(s, at);
  }
  // ds'/ds = a_h·ln n
  template <simd::number S, class At> S grad(S, const At& at) const {
    return broadcast::element<S>(a, 0, at.h, 0, 0) * log_keys<S>(static_cast<index>(at.q));
  }

  struct gradient {
    result a;  // as a
  };
  index sums(const gradient& g) const { return broadcast::sums(g.a); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::scalable_softmax", a, g.a);
  }
  // da_h = Σ ds' s ln n
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T* s, const T* ds, double* sum) const {
    if (!g.a.present()) return;
    for (index i = 0; i < at.rows; ++i)
      sum[broadcast::sum_at(g.a, 0, at.h, 0, 0)] +=
          detail::column_product(at, i, s, ds) * log_keys<double>(at.q + i);
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.a, sum); }

  template <class Arch, class T>
  detail::row_factors<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const factor = scratch;
    scratch += at.pitch;
    const T scale = broadcast::element<T>(a, 0, at.h, 0, 0);
    for (index i = 0; i < at.pitch; ++i)
      factor[i] = i < at.rows ? scale * log_keys<T>(at.q + i) : T(0);
    return {factor};
  }
  index scratch(index pitch, index) const { return pitch; }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::scalable_softmax", "a", a, {1, shape.heads, 1, 1});
    if (keys < 0)
      check::fail("heed::scalable_softmax",
                  "keys must not be negative, but is " + std::to_string(keys));
  }

 private:
  template <class T> T log_keys(index q) const {
    return std::log(static_cast<T>(keys > 0 ? keys : std::max<index>(q + 1, 1)));
  }
};

// √(log_trained(inferred) / D): the scale for a length other than the trained one.
inline double length_scale(double trained, double inferred, index depth) {
  return std::sqrt(std::log(inferred) / std::log(trained) / static_cast<double>(depth));
}

}  // namespace heed
