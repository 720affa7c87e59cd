// SPDX-License-Identifier: BSL-1.0
// How far the gradients of an engine that computes with precision ε may lie from the reference's.
//
// Scores, weights and their divisor are off as in fuzz/bound.hpp, weights also by the roundings of
// the log-sum-exp that they are computed again from. With Δ for "is off by",
//   Δdp = ε (Σ|v dO| + √Dv/2 |dp|) + what transforms of v and of the output are off by
//   Δδ  = Σ |dO| ΔO + |O| ΔdO + ε |dO O|
//   Δds = Δp |dp − δ| + |p| (Δdp + Δδ) + 3ε |p| (|dp| + |δ|), weights of one score alike
//   Δdv = Σ Δp |dO| + |p| ΔdO + 2ε |p dO|, Δdq and Δdk alike from ds, slopes of modifiers
// and the last two go through the absolute values of the Jacobians of the row transforms.
#pragma once

#include <heed/reference/backward.hpp>

#include "fuzz/sizes.hpp"

namespace heed::fuzz {

namespace oracle = heed::reference::detail;
using oracle::backward_pair;
using oracle::backward_row;

// What the differences of the reference are off by, of a function of order 1.
constexpr double noise = 0x1p-30;

inline double largest_of(const row& x) {
  double most = 0;
  for (const double y : x) most = std::max(most, std::abs(y));
  return most;
}
template <class F> double most_moved(const F& f, double middle, double off) {
  return std::max(std::abs(f(off) - middle), std::abs(f(-off) - middle));
}

// One query: what its weights, scores' gradients and dO are off by. Where `comparable` is false, a
// divisor is about as small as it is off, and nothing is known.
struct row_errors {
  bool comparable = true;
  row p, ds, d_out;  // ds by the scores before their modifiers
};

template <class Spec>
row_errors row_error(const Spec& spec, const backward_row& x, const row& given_d_out, double e) {
  using normalizer = std::remove_cvref_t<decltype(spec.normalizer)>;
  constexpr bool rewrites_v = !std::is_same_v<decltype(Spec::value), none>;
  constexpr bool rewrites_o = !std::is_same_v<decltype(Spec::output), none>;
  const double tiny = e > 0x1p-30 ? 0x1p-120 : 0x1p-1000;
  const std::size_t n = x.pairs.size(), depth = x.out.size();
  row_errors r;
  r.d_out.assign(depth,
                 rewrites_o ? 4 * e * std::max(largest_of(given_d_out), largest_of(x.d_out)) : 0);

  row raw_off(n), off(n), g(n), repeated_p(n);
  double repeated = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const backward_pair& pair = x.pairs[j];
    const auto sized_by = sized(spec, x.q, pair.k);
    raw_off[j] = e * (sized_by.size + 2 * std::abs(pair.raw));
    off[j] = raw_off[j];
    if (!pair.extra) {
      const auto f = [&](double t) { return modified(spec.score, pair.raw + t, pair.at); };
      off[j] = std::isfinite(pair.s) ? most_moved(f, pair.s, raw_off[j]) +
                                           e * (2 * std::abs(pair.s) + std::abs(pair.s - pair.raw))
                                     : 0;
    }
    off[j] += 2 * e * offset(spec.normalizer);
    if (j > 0)
      repeated += pair.p != 0 && std::abs(pair.p - x.pairs[j - 1].p) <= e * std::abs(pair.p);
  }
  const double summing = e * (1 + repeated / 4);

  double factor_off = 0;  // of 1 / d
  if constexpr (has_lse<normalizer>) {
    const double lse = n == 0 || !(x.state.sum > 0) ? 0 : spec.normalizer.lse(x.state);
    const double size = std::isfinite(lse) ? std::abs(lse) : 0;
    double lse_off = 4 * e * (1 + size);
    for (std::size_t j = 0; j < n; ++j)
      lse_off += std::abs(x.pairs[j].p) * (std::expm1(off[j]) + 4 * e + summing);
    for (std::size_t j = 0; j < n; ++j) {
      const backward_pair& pair = x.pairs[j];
      const double shown = std::isfinite(pair.s) ? std::abs(pair.s) : 0;
      r.p.push_back(std::abs(pair.p) *
                        (std::expm1(off[j] + lse_off + 2 * e * (shown + size)) + 4 * e) +
                    tiny);
      if (std::is_same_v<normalizer, signed_softmax> && std::abs(pair.s) <= off[j])
        r.p.back() += 2 * std::exp(std::abs(pair.s) - lse);
    }
  } else {
    const auto weights = [&](double sign) {
      row w;
      for (std::size_t j = 0; j < n; ++j) w.push_back(x.pairs[j].s + sign * off[j]);
      auto state = steps_of(spec.normalizer).template start<double>(x.at);
      double factor = 1;
      if (n > 0)
        steps_of(spec.normalizer)
            .template absorb<simd::scalar>(w.data(), index{1}, index(n), state, factor);
      return w;
    };
    const row w = weights(0), up = weights(1), down = weights(-1);
    double sum_off = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const double floor =
          std::is_same_v<normalizer, laplace> ? (e > 0x1p-30 ? 1 : 5) : std::abs(w[j]);
      g[j] = std::max(std::abs(up[j] - w[j]), std::abs(down[j] - w[j])) + 4 * e * floor + tiny;
      sum_off += g[j] + summing * std::abs(w[j]);
    }
    const auto finish = [&](double sum) {
      return steps_of(spec.normalizer).finish(row_state<double>{x.state.max, sum});
    };
    factor_off = most_moved([&](double t) { return finish(x.state.sum + t); }, x.finish, sum_off) +
                 2 * e * std::abs(x.finish);
    const bool straddles = (x.state.sum != 0 && std::abs(x.state.sum) <= 2 * sum_off) ||
                           std::abs(std::abs(x.state.sum) - 1) <= sum_off;
    if (!std::isfinite(factor_off) ||
        (straddles && spec.normalizer.by != divisor::one && spec.normalizer.by != divisor::count))
      r.comparable = false;
    for (std::size_t j = 0; j < n; ++j)
      r.p.push_back(std::abs(x.finish) * g[j] + factor_off * (std::abs(w[j]) + g[j]));
  }

  row v_off(n), out_off(depth);
  for (std::size_t j = 0; j < n; ++j) {
    const backward_pair& pair = x.pairs[j];
    if (rewrites_v && !pair.extra) v_off[j] = 4 * e * largest_of(pair.v);
    for (std::size_t c = 0; c < depth; ++c)
      out_off[c] += r.p[j] * std::abs(pair.v[c]) +
                    std::abs(pair.p) * (2 * summing * std::abs(pair.v[c]) + v_off[j]);
  }
  double delta_off = 0;
  for (std::size_t c = 0; c < depth; ++c)
    delta_off += (std::abs(x.d_out[c]) + r.d_out[c]) * (out_off[c] + 2 * e * std::abs(x.out[c])) +
                 std::abs(x.out[c]) * r.d_out[c];

  for (std::size_t j = 0; j < n; ++j) {
    const backward_pair& pair = x.pairs[j];
    double dp_off = e * 0.5 * std::sqrt(double(depth)) * std::abs(pair.dp);
    for (std::size_t c = 0; c < depth; ++c)
      dp_off += std::abs(pair.v[c]) * (e * std::abs(x.d_out[c]) + r.d_out[c]) +
                v_off[j] * std::abs(x.d_out[c]);
    const double both = std::abs(pair.dp) + std::abs(x.delta);
    const double apart =
        std::is_same_v<normalizer, signed_softmax> ? both : std::abs(pair.dp - x.delta);
    double ds = 0;
    if constexpr (has_lse<normalizer>) {
      ds = r.p[j] * (apart + dp_off + delta_off) +
           std::abs(pair.p) * (dp_off + delta_off + 3 * e * both);
    } else if (pair.s > masked<double> / 2) {
      backward_row one = x;
      const auto slope = [&](double t) {
        backward_pair moved = pair;
        moved.s += t, moved.dp = 1, one.delta = 0, one.finish = 1;
        return oracle::score_gradient(spec.normalizer, one, moved);
      };
      const double f = slope(0), u = both, size = std::abs(x.finish);
      const double f_off = noise * (1 + std::abs(pair.p)) + most_moved(slope, f, off[j]) +
                           4 * e * (std::abs(f) + (std::is_same_v<normalizer, laplace> ? 1 : 0));
      ds = f_off * u * size +
           std::abs(f) * ((dp_off + delta_off) * size + u * factor_off + 4 * e * u * size);
    }
    if constexpr (!std::is_same_v<decltype(Spec::score), none>)
      if (!pair.extra && std::isfinite(pair.s)) {
        const auto slope = [&](double at) {
          return oracle::kinked_difference(
              pair.raw, [&](double t) { return modified(spec.score, pair.raw + at + t, pair.at); });
        };
        const double m = slope(0);
        ds = std::abs(m) * ds +
             (noise + most_moved(slope, m, raw_off[j]) + 4 * e * (1 + std::abs(m))) *
                 (std::abs(pair.ds) + ds);
      }
    r.ds.push_back(ds);
  }
  return r;
}

// What a product of slopes off by `off` with rows off by e · size may be off by.
inline void add_error(row& to, double value, double off, const row& by, double e, double size) {
  for (std::size_t c = 0; c < to.size(); ++c)
    to[c] += off * std::abs(by[c]) + std::abs(value) * e * (2 * std::abs(by[c]) + size);
}
// Through a row transform y = f(x), whose derivative is itself off.
inline row error_through(const std::vector<row>& jacobian, const row& off, const row& dy, double e,
                         double gain) {
  const double own =
      4 * e * gain * std::sqrt(double(dy.size())) * (largest_of(dy) + largest_of(off));
  row result;
  for (const row& d : jacobian) {
    double sum = own;
    for (std::size_t o = 0; o < d.size(); ++o)
      sum += std::abs(d[o]) * (off[o] + 4 * e * std::abs(dy[o]));
    result.push_back(sum);
  }
  return result;
}

}  // namespace heed::fuzz
