// SPDX-License-Identifier: BSL-1.0
// feature/random: random features of the softmax kernel, E φ(q)·φ(k) = e^{q·k / √D}:
//   φ_r(x) = e^{ω_r·y - ‖y‖²/2} / √m,   y = x / D^¼;   of the ReLU kind max(ω_r·y, 0) / √m + ε
// ω [m, D] given, best orthogonal in blocks. Queries are divided by their largest feature, which a
// normalised readout cancels. Keys are not: no exponent exceeds ‖ω_r‖² / 2, but in float a key
// whose exponents are all below -87 counts as nothing. Performer (Choromanski et al. 2020).
#pragma once

#include <cmath>
#include <heed/core/parameters.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/rows.hpp>
#include <vector>

namespace heed {

struct random_feature {
  parameters omega;  // [m, D]
  index features = 0;
  bool relu = false;
  double epsilon = 1e-3;  // of the ReLU kind

  void check(index depth) const {
    if (depth > most || features < 1 || omega.size() != features * depth)
      heed::check::fail("heed::random_feature",
                        "omega must be [features, D], D at most 256: it holds " +
                            std::to_string(omega.size()) + " numbers for " +
                            std::to_string(features) + " x " + std::to_string(depth));
  }
  constexpr index width(index) const { return features; }
  template <class Arch, class T> void query(T* row, index depth) const {
    map<Arch>(row, depth, true);
  }
  template <class Arch, class T> void key(T* row, index depth) const {
    map<Arch>(row, depth, false);
  }
  template <class T> void query_backward(const T* x, T* dx, index depth) const {
    turn(x, dx, depth, true);
  }
  template <class T> void key_backward(const T* x, T* dx, index depth) const {
    turn(x, dx, depth, false);
  }

 private:
  static constexpr index most = 256;  // channels of a head

  // ω_r·y - ‖y‖²/2, y = x · by
  template <class T> T exponent(index r, const T* y, T half, index depth) const {
    T sum = -half;
    for (index c = 0; c < depth; ++c) sum += T(omega[r * depth + c]) * y[c];
    return sum;
  }
  // dx of `depth` channels in place of dφ.
  template <class T> void turn(const T* x, T* dx, index depth, bool divide) const {
    T y[most], to[most] = {};
    const T by = T(1) / std::sqrt(std::sqrt(T(depth))), share = T(1) / std::sqrt(T(features));
    T half = 0, top = 0, all = 0;
    index largest = 0;
    for (index c = 0; c < depth; ++c) y[c] = x[c] * by, half += y[c] * y[c] / 2;
    divide = divide && !relu;
    for (index r = 0; r < features && divide; ++r)
      if (const T e = exponent(r, y, half, depth); r == 0 || e > top) top = e, largest = r;
    for (index r = 0; r < features; ++r) {
      const T e = exponent(r, y, half, depth);
      dx[r] *= (!relu ? std::exp(e - top) : e + half > 0 ? T(1) : T(0)) * share;
      if (!relu) all += dx[r];
    }
    if (divide) dx[largest] -= all, all = 0;
    for (index r = 0; r < features; ++r)
      for (index c = 0; c < depth; ++c) to[c] += dx[r] * T(omega[r * depth + c]);
    for (index c = 0; c < depth; ++c) dx[c] = by * (to[c] - all * y[c]);
  }
  template <class Arch, class T> void map(T* row, index depth, bool divide) const {
    T y[most];
    const T by = T(1) / std::sqrt(std::sqrt(T(depth)));
    T half = 0;
    for (index c = 0; c < depth; ++c) y[c] = row[c] * by, half += y[c] * y[c] / 2;
    T largest = -std::numeric_limits<T>::infinity();
    for (index r = 0; r < features; ++r) {
      T sum = -half;
      for (index c = 0; c < depth; ++c) sum += T(omega[r * depth + c]) * y[c];
      row[r] = sum, largest = std::max(largest, sum);
    }
    const T share = T(1) / std::sqrt(T(features));
    if (relu) {
      for (index r = 0; r < features; ++r)
        row[r] = std::max(row[r] + half, T(0)) * share + T(epsilon);
      return;
    }
    const T top = divide ? largest : T(0);
    simd::map_row<Arch>(row, features, [&](auto x) {
      using V = decltype(x);
      return V(simd::exp(V(x - V(top))) * V(share));
    });
  }
};

}  // namespace heed
