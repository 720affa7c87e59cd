// SPDX-License-Identifier: BSL-1.0
// observe/column_mass: Σ_i p_ij, how much all queries give to a key, by a second pass over the
// scores from q, k and lse; never an Lq × Lk matrix.
//
//   column_mass(spec, q, k, lse, {.mass = as<"BHL">(a)}, {.later = true, .mean = true});
//   column_mass_gradient by_a(spec, q, k, lse, as<"BHL">(da), {.later = true, .mean = true});
//   attend_backward(spec, q, k, v, {.out = o, .lse = lse}, d_out, {.observed = &by_a});
//
// Without lse, or where the normaliser has none, a pass more. Sums over a panel are of the compute
// type, over panels in double. Throws std::invalid_argument before anything is written. Gu et al.,
// When Attention Sink Emerges in Language Models, 2024.
#pragma once

#include <heed/attention/weight_panels.hpp>
#include <heed/observe/column_rows.hpp>
#include <heed/observe/lanes.hpp>
#include <optional>

namespace heed {

// [B,H,Lk] each. The variance is that over the queries that count.
struct column_sums {
  result mass{}, variance{};
};

namespace detail {

// Σ x w, or Σ x² w
template <class T> struct lane_sums {
  T sum = 0, squares = 0;

  lane_sums(const T* x, const T* w, index count) {
    using A = simd::best;
    using B = simd::batch<T, A>;
    B some(T(0)), more(T(0));
    index i = 0;
    for (; i + simd::width<T, A> <= count; i += simd::width<T, A>) {
      const B p = simd::load<T, A>(x + i), wp = p * simd::load<T, A>(w + i);
      some = some + wp;
      more = simd::fma(p, wp, more);
    }
    sum = simd::sum_lanes<T, A>(some), squares = simd::sum_lanes<T, A>(more);
    for (; i < count; ++i) sum += x[i] * w[i], squares += x[i] * x[i] * w[i];
  }
};

inline void check_columns(const char* name, const operand& x, const operand& q, const operand& k) {
  if (x.present())
    check_observed("heed::column_mass", name, x, {q.extent[0], q.extent[1], k.extent[2], 1});
}

}  // namespace detail

template <class Arch = simd::best, class Spec, storable Q, storable K>
void column_mass(const Spec& spec, view<Q> q, view<K> k, const operand& lse, const column_sums& to,
                 const column_rows& which = {}, executor_ref executor = {},
                 workspace_ref scratch = {}) {
  using T = compute_type<Q, K>;
  const operand qs = view<const Q>(q), ks = view<const K>(k);
  detail::check_columns("the mass", to.mass, qs, ks);
  detail::check_columns("the variance", to.variance, qs, ks);
  const extents shape{qs.extent[0], qs.extent[1], ks.extent[2], 1};
  detail::key_numbers sums(shape), squares(shape);
  std::optional<detail::counted_rows> counted;
  std::vector<T> weight;
  const auto begin = [&](const detail::problem& p, index) {
    counted.emplace(which, p, spec.plan);
    weight.assign(counted->weight.begin(), counted->weight.end());
  };
  const auto add = [&](index, const tile& at, const T* p) {
    double* const sum = sums.at(at.b, at.h, at.slot);
    double* const square = squares.at(at.b, at.h, at.slot);
    counted->each_key(at, [&](index j, index first) {
      const detail::lane_sums<T> s(p + j * at.pitch + first, weight.data() + at.row + first,
                                   at.rows - first);
      sum[j] += double(s.sum), square[j] += double(s.squares);
    });
  };
  detail::each_weight_panel<Arch>(
      spec, q, k, lse, begin, add,
      [&](const detail::sequence& s) {
        const auto totals = counted->totals(s);
        for (index h = 0; h < shape[1]; ++h)
          for (index j = 0; j < s.keys; ++j) {
            const double n = totals[std::size_t(j)], sum = *sums.at(s.batch, h, s.slot + j);
            const double mean = n > 0 ? sum / n : 0;
            const double mass = which.mean ? mean : sum;
            const double variance =
                n > 0 ? std::max(0.0, *squares.at(s.batch, h, s.slot + j) / n - mean * mean) : 0;
            if (to.mass.present())
              simd::store_row(to.mass.type, &mass, 1, to.mass.row(s.batch, h, s.slot + j), 1);
            if (to.variance.present())
              simd::store_row(to.variance.type, &variance, 1,
                              to.variance.row(s.batch, h, s.slot + j), 1);
          }
      },
      executor, scratch.scratch);
}

}  // namespace heed
