// SPDX-License-Identifier: BSL-1.0
// How far one row of an engine that computes with precision ε may lie from the oracle's.
//
// A score is off by δ_j = ε·(Σ_c |q_c k_jc| + (√D/2 + 2)|s_j| + 2|s'_j|): a walk of D roundings of
// partial sums, which are √D terms or, if all are of one sign, |s_j|. It goes through the score
// modifiers by finite differences. A weight is off by δ_j + 4ε of itself where it is an
// exponential, else by what f does in s' ± δ_j. An output is off by
// Σ_j |Δp_j v_j| + |Δ(1/d)|·Σ_j |p_j v_j| + 2ε·Σ_j |p_j v_j| / d.
#pragma once

#include "fuzz/sizes.hpp"

namespace heed::fuzz {

// Rows of one kv head, rewritten; those that hold what is not finite are marked.
struct head_rows {
  std::vector<row> k, v;
  std::vector<bool> finite;
};

inline bool all_finite(const row& x) {
  return std::all_of(x.begin(), x.end(), [](double y) { return std::isfinite(y); });
}

template <class Spec>
head_rows rewritten(const Spec& spec, const heed::detail::problem& p,
                    const heed::detail::sequence& s, index kv) {
  namespace oracle = heed::reference::detail;
  head_rows rows;
  for (index j = 0; j < s.keys; ++j) {
    const row_position at{s.b, kv, j, s.slot + j};
    row k = oracle::loaded(p.k, s.batch, kv, at.row), v = oracle::loaded(p.v, s.batch, kv, at.row);
    rows.finite.push_back(all_finite(k) && all_finite(v));
    simd::transform_row<simd::scalar>(spec.key, k.data(), p.shape.depth, at);
    simd::transform_row<simd::scalar>(spec.value, v.data(), p.shape.value_depth, at);
    rows.k.push_back(oracle::rewritten_key(spec, std::move(k), p.shape.depth, at));
    rows.v.push_back(std::move(v));
  }
  return rows;
}

// What the oracle says and what the engine may be off by. Not to be compared where the query, or a
// key that it sees, holds NaN or infinities.
struct row_bound {
  bool comparable = true;
  double lse = 0;
  row out;
};

template <class Spec>
row_bound bound(const Spec& spec, const heed::detail::problem& p, const heed::detail::sequence& seq,
                const head_rows& rows, index h, index i, double epsilon) {
  namespace oracle = heed::reference::detail;
  using normalizer = std::remove_cvref_t<decltype(spec.normalizer)>;
  // Below it numbers may be flushed to zero.
  const double tiny = epsilon > 0x1p-30 ? 0x1p-124 : 0x1p-1020;
  const index kv = kv_head_of(h, p.shape);
  const auto depth = static_cast<std::size_t>(p.shape.value_depth);
  row_bound b;
  b.out.assign(depth, 0);
  position at{seq.b, h, i + seq.offset, 0, seq.row + i, 0};
  row q = oracle::loaded(p.q, seq.batch, h, at.row);
  if (!all_finite(q)) return {false, 0, {}};
  q = oracle::rewritten_query(spec, std::move(q), p.shape.depth, {seq.b, h, at.q, at.row});
  for (double& x : q) x *= p.scale;

  row s, delta;
  std::vector<row> extra;
  std::vector<const row*> values;
  const auto add = [&](double score, double off, const row& v) {
    s.push_back(score), values.push_back(&v);
    delta.push_back(off + 2 * epsilon * offset(spec.normalizer));
  };
  if constexpr (!std::is_same_v<decltype(Spec::extra), none>) {
    extra.resize(static_cast<std::size_t>(spec.extra.slots()), row(depth));
    for (index j = 0; j < spec.extra.slots(); ++j) {
      row k(q.size());
      spec.extra.key(seq.batch, kv, j, k.data());
      row& v = extra[static_cast<std::size_t>(j)];
      spec.extra.value(seq.batch, kv, j, v.data(), p.shape.value_depth);
      const auto x =
          sized(spec, q, oracle::rewritten_key(spec, k, p.shape.depth, {seq.b, kv, j, j}));
      add(x.value, epsilon * (x.size + 4 * std::abs(x.value)), v);
    }
  }
  for (index j = 0; j < seq.keys; ++j) {
    at.k = j, at.slot = seq.slot + j;
    if (!spec.mask(at)) continue;
    const auto n = static_cast<std::size_t>(j);
    if (!rows.finite[n]) return {false, 0, {}};
    const auto x = sized(spec, q, rows.k[n]);
    const auto f = [&](double y) { return modified(spec.score, y, at); };
    const double y = f(x.value), off = epsilon * (x.size + 2 * std::abs(x.value));
    const double moved = std::max(std::abs(f(x.value + off) - y), std::abs(f(x.value - off) - y));
    if (std::isfinite(y))
      add(y, moved + epsilon * (2 * std::abs(y) + std::abs(y - x.value)), rows.v[n]);
  }

  const auto count = static_cast<index>(s.size());
  const auto absorbed = [&](double sign, row_state<double>& state) {
    row w = s;
    for (std::size_t j = 0; j < w.size(); ++j) w[j] += sign * delta[j];
    state = steps_of(spec.normalizer).template start<double>(row_position{seq.b, h, at.q, at.row});
    double factor = 1;
    if (count > 0)
      steps_of(spec.normalizer)
          .template absorb<simd::scalar>(w.data(), index{1}, count, state, factor);
    return w;
  };
  row_state<double> state, ignored;
  const row w = absorbed(0, state);
  row g(w.size());
  // Equal terms are rounded alike: n of them make their sum off by n / 4 roundings.
  double repeated = 0;
  for (std::size_t j = 1; j < w.size(); ++j)
    repeated += w[j] != 0 && std::abs(w[j] - w[j - 1]) <= epsilon * std::abs(w[j]);
  const double summing = epsilon * (1 + repeated / 4);
  double off = 0;  // of the sum
  if constexpr (has_lse<normalizer>) {
    double mass = 0;
    for (std::size_t j = 0; j < w.size(); ++j) {
      const double size = std::abs(w[j]);
      g[j] = size * (std::expm1(delta[j]) + 4 * epsilon);
      off += g[j] + summing * size, mass += size;
      // Only signed_softmax has a sign to lose.
      if (std::is_same_v<normalizer, signed_softmax> && std::abs(s[j]) <= delta[j])
        g[j] += 2 * std::exp(std::abs(s[j]) - state.max * simd::ln2);
    }
    const double sink = std::max(0.0, state.sum - mass);
    off += sink * epsilon * (4 + 2 * std::abs(state.max));
    if (state.sum > 0)
      b.lse = off / state.sum + 4 * epsilon * (1 + std::abs(spec.normalizer.lse(state)));
  } else {
    const row up = absorbed(1, ignored), down = absorbed(-1, ignored);
    for (std::size_t j = 0; j < w.size(); ++j) {
      // 1 + erf keeps no relative precision; xsimd's erf is off by 34 ε in double.
      const double laplace_floor = epsilon > 0x1p-30 ? 1 : 5;
      const double floor = std::is_same_v<normalizer, laplace> ? laplace_floor : std::abs(w[j]);
      g[j] =
          std::max(std::abs(up[j] - w[j]), std::abs(down[j] - w[j])) + 4 * epsilon * floor + tiny;
      off += g[j] + summing * std::abs(w[j]);
    }
  }
  const auto finish = [&](double sum) {
    return steps_of(spec.normalizer).finish(row_state<double>{state.max, sum});
  };
  const double factor = finish(state.sum), more = finish(state.sum + off),
               less = finish(state.sum - off);
  const double shift = std::max(std::abs(more - factor), std::abs(less - factor));
  const bool straddles =
      state.sum != 0 && std::abs(state.sum) <= 2 * off && (shift > 0 || !std::isfinite(shift));
  if (straddles || !std::isfinite(shift)) return {false, 0, {}};
  for (std::size_t j = 0; j < w.size(); ++j) {
    double largest = 0;
    if constexpr (!std::is_same_v<decltype(Spec::value), none>)
      for (const double x : *values[j]) largest = std::max(largest, std::abs(x));
    for (std::size_t d = 0; d < depth; ++d) {
      const double v = std::max(std::abs((*values[j])[d]), largest), p_j = std::abs(w[j]);
      b.out[d] += v * (std::abs(factor) * (g[j] + 2 * summing * p_j) + shift * (p_j + g[j]) + tiny);
    }
  }
  return b;
}

// The same after output transforms, which act channel by channel; `o` is what enters them.
template <class Output>
row through(const Output& output, const row& o, const row_position& at, double epsilon, row& off) {
  if constexpr (std::is_same_v<Output, none>) {
    return o;
  } else if constexpr (is_chain<Output>) {
    return through(output.second, through(output.first, o, at, epsilon, off), at, epsilon, off);
  } else {
    const auto moved = [&](double sign) {
      row x = o;
      for (std::size_t d = 0; d < x.size(); ++d) x[d] += sign * off[d];
      simd::transform_row<simd::scalar>(output, x.data(), index(x.size()), at);
      return x;
    };
    const row middle = moved(0), up = moved(1), down = moved(-1);
    for (std::size_t d = 0; d < o.size(); ++d)
      off[d] = std::max(std::abs(up[d] - middle[d]), std::abs(down[d] - middle[d])) +
               3 * epsilon * (std::abs(o[d]) + std::abs(middle[d]));
    return middle;
  }
}

}  // namespace heed::fuzz
