// SPDX-License-Identifier: BSL-1.0
// observe/column_mass, its gradient.
#pragma once

#include <heed/observe/column_mass.hpp>

namespace heed {

// dL/dp_ij = g_j w_i (over N_j for the mean) for queries that count, g = dL/dmass [B,H,Lk]. One
// pass over the scores when it is made, for Σ_j p_ij dL/dp_ij.
class column_mass_gradient final : public observed_gradient {
 public:
  template <class Spec, storable Q, storable K>
  column_mass_gradient(const Spec& spec, view<Q> q, view<K> k, const operand& lse, const operand& g,
                       const column_rows& which = {}, executor_ref executor = {},
                       workspace_ref scratch = {})
      : g_({q.extent[0], q.extent[1], k.extent[2], 1}),
        delta_({q.extent[0], q.extent[1], q.extent[2], 1}) {
    using T = compute_type<Q, K>;
    detail::check_observed("heed::column_mass_gradient", "the gradient", g, g_.extent);
    index ranges = 0;
    std::vector<double> partial;
    const auto begin = [&](const detail::problem& p, index count) {
      counted_.emplace(which, p, spec.plan);
      read(g, detail::sequences<decltype(Spec::plan)>{p, spec.plan});
      ranges = count;
      partial.assign(delta_.of.size() * static_cast<std::size_t>(ranges), 0.0);
    };
    const auto add = [&](index range, const tile& at, const T* p) {
      T sum[most_lanes] = {};
      const double* const by = g_.at(at.b, at.h, at.slot);
      counted_->each_key(at, [&](index j, index first) {
        const T* const x = p + j * at.pitch;
        detail::each_lane<T>(at.rows - first, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
          using B = simd::batch<T, A>;
          T* const s = sum + first + lane;
          simd::store(s, B(simd::fma(simd::load<T, A>(x + first + lane), B(static_cast<T>(by[j])),
                                     simd::load<T, A>(s))));
        });
      });
      double* const to = partial.data() + range * static_cast<index>(delta_.of.size()) +
                         (delta_.at(at.b, at.h, at.row) - delta_.of.data());
      for (index lane = 0; lane < at.rows; ++lane)
        to[lane] += double(sum[lane]) * counted_->weight[std::size_t(at.row + lane)];
    };
    detail::each_weight_panel<simd::best>(
        spec, q, k, lse, begin, add, [](const detail::sequence&) {}, executor, scratch.scratch);
    for (index r = 0; r < ranges; ++r)
      for (std::size_t i = 0; i < delta_.of.size(); ++i)
        delta_.of[i] += partial[static_cast<std::size_t>(r) * delta_.of.size() + i];
  }

  void add(const tile& at, const float* p, float* dp) const override { each(at, p, dp); }
  void add(const tile& at, const double* p, double* dp) const override { each(at, p, dp); }
  double delta(const row_position& at) const override { return *delta_.at(at.b, at.h, at.row); }

 private:
  static constexpr index most_lanes = 256;

  template <class Plan> void read(const operand& g, const detail::sequences<Plan>& items) {
    for (index i = 0; i < items.count(); ++i) {
      const detail::sequence s = items[i];
      const auto totals = counted_->totals(s);
      for (index h = 0; h < g.extent[1]; ++h)
        for (index j = 0; j < s.keys; ++j) {
          double* const to = g_.at(s.batch, h, s.slot + j);
          simd::load_row(g.type, g.row(s.batch, h, s.slot + j), 1, 1, to);
          const double n = totals[std::size_t(j)];
          if (counted_->mean) *to = n > 0 ? *to / n : 0;
        }
    }
  }
  template <class T> void each(const tile& at, const T*, T* dp) const {
    const double* const by = g_.at(at.b, at.h, at.slot);
    const double* const weight = counted_->weight.data() + at.row;
    T w[most_lanes];
    for (index lane = 0; lane < at.rows; ++lane) w[lane] = static_cast<T>(weight[lane]);
    counted_->each_key(at, [&](index j, index first) {
      T* const x = dp + j * at.pitch + first;
      detail::each_lane<T>(at.rows - first, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
        using B = simd::batch<T, A>;
        simd::store(x + lane, B(simd::fma(simd::load<T, A>(w + first + lane),
                                          B(static_cast<T>(by[j])), simd::load<T, A>(x + lane))));
      });
    });
  }

  detail::key_numbers g_, delta_;
  std::optional<detail::counted_rows> counted_;
};

}  // namespace heed
