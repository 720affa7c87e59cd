// SPDX-License-Identifier: BSL-1.0
// What reference::attend_backward knows of one query: every pair it is part of, and the derivatives
// by the scores.
//
// The derivatives of what policies do to a score or to a row are differences of the policy itself,
// so that none is shared with the engine.
#pragma once

#include <heed/attention/panel.hpp>
#include <heed/reference/attend.hpp>
#include <valarray>

namespace heed::reference {

namespace detail {

// df(t)/dt at 0, where f belongs to an argument of size `at`; five points, off by about 1e-9 of f.
template <class F> auto difference(double at, const F& f, double step = 1e-6) {
  const double h = step * std::max(1.0, std::abs(at));
  const decltype(f(h)) slope = (f(-2 * h) - f(2 * h) + (f(h) - f(-h)) * 8.0) / (12 * h);
  return slope;
}
// The same for an f that may have kinks: from closer by where one lies within the steps, as far as
// f's own rounding lets that be seen.
template <class F> double kinked_difference(double at, const F& f) {
  double slope = difference(at, f);
  for (const double step : {1e-8, 1e-10, 1e-12}) {
    const double closer = difference(at, f, step);
    const double noise = 1e-15 * (1 + std::abs(f(0.0))) / step;
    if (!(std::abs(slope - closer) > 1e-4 * (1 + std::abs(slope)) + noise)) break;
    slope = closer;
  }
  return slope;
}

// [c][o] = ∂y_o/∂x_c of y = f(x).
template <class F> std::vector<row> jacobian(const F& f, const row& x) {
  std::vector<row> j;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const auto moved = [&](double t) {
      row at = x;
      at[c] += t;
      const row y = f(at);
      return std::valarray<double>(y.data(), y.size());
    };
    const std::valarray<double> d = difference(x[c], moved);
    j.emplace_back(std::begin(d), std::end(d));
  }
  return j;
}
inline row times(const std::vector<row>& jacobian, const row& dy) {
  row dx;
  for (const row& d : jacobian) {
    dx.push_back(0);
    for (std::size_t o = 0; o < d.size(); ++o)
      if (dy[o] != 0) dx.back() += d[o] * dy[o];
  }
  return dx;
}

template <class Spec> row whole_key(const Spec& spec, row x, index depth, const row_position& at) {
  simd::transform_row<simd::scalar>(spec.key, x.data(), depth, at);
  return rewritten_key(spec, std::move(x), depth, at);
}
template <class F> row transformed(const F& f, row x, const row_position& at) {
  simd::transform_row<simd::scalar>(f, x.data(), index(x.size()), at);
  return x;
}

struct backward_pair {
  heed::position at{};
  bool extra = false;
  row k, v;                                      // rewritten
  double raw = 0, s = 0, p = 0, dp = 0, ds = 0;  // ds by s
  double slope = 1;                              // ds/draw
  double edit = 1;                               // p times this meets v
  row by_q, by_k;                                // ∂raw/∂q and ∂raw/∂k
};
struct backward_row {
  row_position at{};
  row q;  // rewritten and scaled
  std::vector<backward_pair> pairs;
  row_state<double> state{};
  double finish = 0, delta = 0;
  row out, d_out;  // before the output transforms
};

// ∂/∂s_j Σ p dp of finished weights.
template <class N>
double score_gradient(const N& given, const backward_row& x, const backward_pair& pair) {
  const auto weight = [&](double s) {
    row_state<double> state = steps_of(given).template start<double>(x.at);
    double factor = 1;
    steps_of(given).template absorb<simd::scalar>(&s, index{1}, index{1}, state, factor);
    return s;
  };
  if constexpr (has_lse<N>) {
    return pair.p == 0 ? 0 : std::abs(pair.p) * pair.dp - pair.p * x.delta;
  } else {
    if (pair.s <= masked<double> / 2) return 0;
    const double slope = kinked_difference(pair.s, [&](double t) { return weight(pair.s + t); });
    const double sum = x.state.sum;
    const bool bounded = given.by == divisor::bounded_sum;
    const double moves = given.by == divisor::sum       ? 1
                         : bounded && std::abs(sum) > 1 ? std::copysign(1, sum)
                                                        : 0;
    return slope * (pair.dp - moves * x.delta) * x.finish;
  }
}

template <class Spec>
backward_row trace(const Spec& spec, const problem& p, const operand& d_out, const sequence& s,
                   index h, index i) {
  const problem_shape& shape = p.shape;
  const index kv = kv_head_of(h, shape);
  backward_row x;
  x.at = {s.b, h, i + s.offset, s.row + i};
  x.q = rewritten_query(spec, loaded(p.q, s.batch, h, x.at.row), shape.depth, x.at);
  for (double& c : x.q) c *= p.scale;
  if constexpr (!std::is_same_v<decltype(Spec::extra), none>)
    for (index j = 0; j < spec.extra.slots(); ++j) {
      backward_pair pair;
      pair.extra = true;
      pair.k.resize(static_cast<std::size_t>(shape.depth));
      pair.v.resize(static_cast<std::size_t>(shape.value_depth));
      spec.extra.key(s.b, kv, j, pair.k.data());
      spec.extra.value(s.b, kv, j, pair.v.data(), shape.value_depth);
      pair.k = rewritten_key(spec, std::move(pair.k), shape.depth, {s.b, kv, j, j});
      pair.raw = pair.s = similarity(spec, x.q, pair.k);
      x.pairs.push_back(std::move(pair));
    }
  for (index j = 0; j < s.keys; ++j) {
    backward_pair pair;
    pair.at = {s.b, h, x.at.pos, j, x.at.row, s.slot + j};
    if (!spec.mask(pair.at)) continue;
    const row_position at{s.b, kv, j, pair.at.slot};
    pair.k = whole_key(spec, loaded(p.k, s.batch, kv, at.row), shape.depth, at);
    pair.v = transformed(spec.value, loaded(p.v, s.batch, kv, at.row), at);
    pair.raw = similarity(spec, x.q, pair.k);
    pair.s = modified(spec.score, pair.raw, pair.at);
    x.pairs.push_back(std::move(pair));
  }

  const auto& normalizer = steps_of(spec.normalizer);
  x.state = normalizer.template start<double>(x.at);
  row weights;
  for (const backward_pair& pair : x.pairs) weights.push_back(pair.s);
  double factor = 1;
  if (!weights.empty())
    normalizer.template absorb<simd::scalar>(weights.data(), index{1}, index(weights.size()),
                                             x.state, factor);
  x.finish = normalizer.finish(x.state);
  static_assert(!has_driver<decltype(Spec::weights)>, "an edit of more than pairs");
  std::vector<heed::position> keys;
  for (const backward_pair& pair : x.pairs)
    if (!pair.extra) keys.push_back(pair.at);
  row edit(weights.size(), 1.0);
  edit_weights(spec.weights, 1, keys, edit);
  x.out.resize(static_cast<std::size_t>(shape.value_depth));
  for (std::size_t j = 0; j < weights.size(); ++j) {
    x.pairs[j].p = weights[j] * x.finish, x.pairs[j].edit = edit[j];
    for (std::size_t c = 0; c < x.out.size(); ++c)
      if (weights[j] != 0) x.out[c] += x.pairs[j].p * edit[j] * x.pairs[j].v[c];
  }
  x.d_out = loaded(d_out, s.batch, h, x.at.row);
  if constexpr (!std::is_same_v<decltype(Spec::output), none>)
    x.d_out = times(
        jacobian([&](const row& o) { return transformed(spec.output, o, x.at); }, x.out), x.d_out);
  for (backward_pair& pair : x.pairs)
    for (std::size_t c = 0; c < x.out.size(); ++c) pair.dp += pair.edit * pair.v[c] * x.d_out[c];
  for (const backward_pair& pair : x.pairs)
    if (pair.p != 0) x.delta += pair.p * pair.dp;
  for (backward_pair& pair : x.pairs) {
    pair.ds = score_gradient(spec.normalizer, x, pair);
    if constexpr (!std::is_same_v<decltype(Spec::score), none>)
      if (!pair.extra && pair.ds != 0)
        pair.slope = kinked_difference(
            pair.raw, [&](double t) { return modified(spec.score, pair.raw + t, pair.at); });
    if constexpr (heed::detail::own_products<decltype(Spec::similarity), double, simd::scalar>) {
      const auto of = [&](const row& q, const row& k) { return row{similarity(spec, q, k)}; };
      for (const row& d : jacobian([&](const row& q) { return of(q, pair.k); }, x.q))
        pair.by_q.push_back(d[0]);
      for (const row& d : jacobian([&](const row& k) { return of(x.q, k); }, pair.k))
        pair.by_k.push_back(d[0]);
    } else {
      pair.by_q = pair.k, pair.by_k = x.q;
    }
  }
  return x;
}

}  // namespace detail
}  // namespace heed::reference
