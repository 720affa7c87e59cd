// SPDX-License-Identifier: BSL-1.0
// heed::attend against a reference written per head, over awkward shapes.
#pragma once

#include <algorithm>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/dense.hpp>
#include <heed/reference/mask/causal.hpp>

#include "support/exact.hpp"

namespace heed::test {

struct shape {
  index b, h, kv, lq, lk, d, dv;
};

/// Lengths around lanes, panels and tiles; more queries than keys gives rows without keys.
inline const std::vector<shape>& awkward_shapes() {
  static const std::vector<shape> all{{1, 1, 1, 1, 1, 1, 1},     {2, 3, 3, 7, 5, 3, 2},
                                      {1, 4, 2, 25, 33, 8, 7},   {1, 2, 1, 3, 300, 17, 5},
                                      {2, 2, 2, 49, 63, 64, 12}, {1, 1, 1, 70, 257, 5, 33},
                                      {1, 2, 2, 4, 0, 6, 3}};
  return all;
}

/// Scores and weights of one head in double: scores(q, k, h) [Lq×Lk], weights(s, allowed, h).
/// `spec` must have the mask `causal`. The tolerance is `c` roundings of the largest score and
/// value.
template <class T, class Arch = simd::best, class Spec, class Scores, class Weights>
void agree(const Spec& spec, const Scores& scores, const Weights& weights, double c = 8,
           const std::vector<shape>& shapes = awkward_shapes()) {
  static_assert(std::is_same_v<decltype(Spec::mask), causal>);
  for (const shape& x : shapes) {
    const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1), k = random<T>({x.b, x.kv, x.lk, x.d}, 2),
               v = random<T>({x.b, x.kv, x.lk, x.dv}, 3);
    auto out = unwritten<T>({x.b, x.h, x.lq, x.dv});
    attend<Arch>(spec, q.in(), k.in(), v.in(), out.in());
    const reference::allowed a = reference::mask::causal(x.lq, x.lk);
    for (index b = 0; b < x.b; ++b)
      for (index h = 0; h < x.h; ++h) {
        const index kv = h / (x.h / x.kv);
        const Eigen::MatrixXd s = scores(q.head(b, h), k.head(b, kv), h), p = weights(s, a, h);
        const Eigen::MatrixXd expected = reference::attention(p, v.head(b, kv));
        const double mass = x.lk ? p.cwiseAbs().rowwise().sum().maxCoeff() : 0;
        const double largest = x.lk ? std::max(1.0, s.cwiseAbs().maxCoeff()) : 1;
        const std::string where = std::to_string(x.lq) + " × " + std::to_string(x.lk) + " × " +
                                  std::to_string(x.d) + ", head " + std::to_string(h);
        check_close(out.head(b, h), expected, tolerance<T>(c, x.d, largest * std::max(1.0, mass)),
                    where);
      }
  }
}

/// q·k/√D.
inline Eigen::MatrixXd scaled_dot(const Eigen::MatrixXd& q, const Eigen::MatrixXd& k, index) {
  return q * k.transpose() / std::sqrt(double(q.cols()));
}

/// A normaliser's `dscore` against central differences of its own weights, one row in double:
/// f(s) = Σ_j p_j(s) g_j, so df/ds_j = dscore(s_j, p_j, g_j, Σ p g).
template <class N>
void check_derivative(const N& given, std::vector<double> s, double allowed = 1e-7) {
  const auto& normalizer = steps_of(given);
  const auto count = static_cast<index>(s.size());
  const auto weights = [&](std::vector<double> x, row_state<double>& state) {
    state = normalizer.template start<double>(row_position{});
    double factor = 1;
    normalizer.template absorb<simd::scalar>(x.data(), index{1}, count, state, factor);
    for (double& p : x) p *= normalizer.finish(state);
    return x;
  };
  std::vector<double> g(s.size());
  for (std::size_t j = 0; j < g.size(); ++j) g[j] = std::cos(1.0 + double(j));
  const auto value = [&](const std::vector<double>& x) {
    row_state<double> state{};
    const auto p = weights(x, state);
    double f = 0;
    for (std::size_t j = 0; j < p.size(); ++j) f += p[j] * g[j];
    return f;
  };
  row_state<double> state{};
  const auto p = weights(s, state);
  const double delta = value(s), step = 1e-5;
  for (std::size_t j = 0; j < s.size(); ++j) {
    auto up = s, down = s;
    up[j] += step, down[j] -= step;
    const double expected = (value(up) - value(down)) / (2 * step);
    INFO("score " << j << " = " << s[j]);
    CHECK(normalizer.dscore(s[j], p[j], g[j], delta, state) == Approx(expected).margin(allowed));
  }
}

}  // namespace heed::test
