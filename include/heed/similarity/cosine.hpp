// SPDX-License-Identifier: BSL-1.0
// similarity/cosine: s_ij = β_h · q̂_i·k̂_j, x̂ = x / max(‖x‖, ε).
//
// β one number a query head, 1 without; Swin v2 learns t and takes β = cosine::swin(t). Leave
// `attention::scale` alone: it would multiply β. Swin Transformer V2, Liu et al. 2021. Cost of
// `dot`, and a norm a row. Throws if β does not fit the query heads or ε is negative.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/parameters.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct cosine {
  parameters beta{};  // [H]
  double epsilon = 1e-12;

  static double swin(double t) { return std::exp(std::min(t, std::log(100.0))); }

  void check(const problem_shape& shape) const {
    if (!beta.empty() && beta.size() != shape.heads)
      check::fail("heed::cosine", "beta must have one entry a query head, " +
                                      std::to_string(shape.heads) + ", not " +
                                      std::to_string(beta.size()));
    if (!(epsilon >= 0)) check::fail("heed::cosine", "epsilon must not be negative");
  }
  double default_scale(index) const { return 1; }

  template <class Arch, class T> void query(T* row, index depth, const row_position& at) const {
    normalize<Arch>(row, depth, T(beta.get(at.h, 1)));
  }
  template <class Arch, class T> void key(T* row, index depth, const row_position&) const {
    normalize<Arch>(row, depth, T(1));
  }

  struct gradient {
    parameters_gradient beta;  // [H]
  };
  index sums(const gradient& g) const { return g.beta.size(); }
  void check(const gradient& g) const { g.beta.check("heed::cosine", "beta", beta.size()); }
  // dβ_h = Σ x̂·dy
  template <class Arch, class T>
  void query_backward(const T* x, T* dx, index depth, const row_position& at, const gradient& g,
                      double* sum) const {
    const T along = normalize_backward<Arch>(x, dx, depth, T(beta.get(at.h, 1)));
    if (g.beta.size() > 0) sum[at.h] += double(along);
  }
  template <class Arch, class T>
  void key_backward(const T* x, T* dx, index depth, const row_position&, const gradient&,
                    double*) const {
    normalize_backward<Arch>(x, dx, depth, T(1));
  }
  void deliver(const gradient& g, const double* sum) const { g.beta.store(sum); }

 private:
  // y = length · x / n: dx = (dy - x̂ (x̂·dy)) · length / n; x̂ stays as it is where n = ε. Returns
  // x̂·dy.
  template <class Arch, class T>
  T normalize_backward(const T* x, T* dx, index depth, T length) const {
    const T own = std::sqrt(simd::sum_of_squares<Arch>(x, depth)), norm = std::max(own, T(epsilon));
    const T unit = norm == T(0) ? T(0) : T(1) / norm;
    T along = 0;
    for (index c = 0; c < depth; ++c) along += x[c] * unit * dx[c];
    const T shared = own > T(epsilon) ? along : T(0);
    for (index c = 0; c < depth; ++c) dx[c] = (dx[c] - x[c] * unit * shared) * unit * length;
    return along;
  }
  // A zero row stays zero, whatever ε.
  template <class Arch, class T> void normalize(T* row, index depth, T length) const {
    const T norm = std::max(std::sqrt(simd::sum_of_squares<Arch>(row, depth)), T(epsilon));
    const T factor = norm == T(0) ? T(0) : length / norm;
    simd::map_row<Arch>(row, depth, [factor](auto x) { return x * decltype(x)(factor); });
  }
};

}  // namespace heed
