// SPDX-License-Identifier: BSL-1.0
// observe/relative_mass: the weight of a row by relative position, clipped to m either way, beside
// the call in one pass (Shaw, Uszkoreit & Vaswani, Self-Attention with Relative Position
// Representations, 2018: what meets their table of values).
//
//   π_in = Σ_{j : clip(j − i, −m, m) = n − m} p_ij          n = 0 … 2m, i and j positions
//
//   relative_mass mass(pi);                                  // pi [B,H,Lq,2m+1]
//   attend(spec, q, k, v, {.out = out, .observe = &mass});
//   relative_mass::gradient by_pi(mass, d_pi);               // for attend_backward's `.observed`
//
// π times a table [2m+1,D] is Σ_j p_ij table_{clip(j−i)}, for 2 (2m+1) D flops a row and none a
// pair. A pair costs an addition, of vectors but within the band |j − i| < m; a tile of keys, 2m+1
// multiplications a row. Any normaliser. Throws std::invalid_argument, before anything is written,
// if pi has not the shape above.
#pragma once

#include <heed/observe/lanes.hpp>

namespace heed {

class relative_mass final : public observer {
 public:
  explicit relative_mass(const result& to) : to_(to) {}

  needs wants() const override { return needs::weights; }
  void start(const observed_call& call) override {
    if (to_.extent[3] % 2 == 0)
      check::fail(name, "the mass must have 2m+1 channels", {{"the mass", to_}});
    detail::check_observed(name, "the mass", to_,
                           {call.batch, call.shape.heads, call.shape.queries, to_.extent[3]});
    kept_.start(call, to_.extent[3], call.shape.queries);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    kept_.finish(at, 0, to_.extent[3], end.factor, to_);
  }

  class gradient;

 private:
  static constexpr const char* name = "heed::relative_mass";

  // Numbers of a key seen from the first and the last lane: at least that far for the others.
  struct reach {
    index first, last;
    bool one() const { return first == last; }
  };
  index furthest() const { return to_.extent[3] / 2; }
  index number(index apart) const {
    return std::clamp(apart, -furthest(), furthest()) + furthest();
  }
  reach of_key(const tile& at, index j) const {
    const index apart = at.key(j) - at.q;
    return {number(apart), number(apart - at.rows + 1)};
  }

  template <class T> void add(const observed_panel<T>& x) {
    const tile& at = x.at;
    T* const sums = kept_.at<T>(at.b, at.h, 0, at.row);
    const index step = kept_.step();
    detail::rescale_lanes(x.factor, at.rows, to_.extent[3], sums, step);
    for (index j = 0, next; j < at.keys; j = next) {
      next = j + 1;
      const T* const p = x.weights + j * at.pitch;
      if (const reach of = of_key(at, j); !of.one()) {
        for (index lane = 0; lane < at.rows; ++lane)
          sums[number(at.key(j) - at.q - lane) * step + lane] += p[lane];
      } else {
        while (next < at.keys && of_key(at, next).one() && of_key(at, next).first == of.first)
          ++next;
        detail::add_keys(p, at.pitch, next - j, at.rows, sums + of.first * step);
      }
    }
  }

  result to_;
  detail::lane_memory kept_;
};

// dL/dp_ij = g_{i, clip(j−i)+m}, g = dL/dπ [B,H,Lq,2m+1]; of the call that the observer saw last.
class relative_mass::gradient final : public observed_gradient {
 public:
  gradient(const relative_mass& seen, const operand& g)
      : seen_(seen), g_(name, g, seen.to_.extent) {}

  void add(const tile& at, const float*, float* dp) const override { each(at, dp); }
  void add(const tile& at, const double*, double* dp) const override { each(at, dp); }
  double delta(const row_position& at) const override { return g_.dot(at, seen_.kept_); }

 private:
  template <class T> void each(const tile& at, T* dp) const {
    for (index j = 0; j < at.keys; ++j, dp += at.pitch)
      if (const reach of = seen_.of_key(at, j); of.one())
        g_.add(at, of.first, dp);
      else
        for (index lane = 0; lane < at.rows; ++lane)
          dp[lane] += static_cast<T>(
              g_.lanes(at.b, at.h, seen_.number(at.key(j) - at.q - lane), at.row)[lane]);
  }

  const relative_mass& seen_;
  detail::row_gradients g_;
};

}  // namespace heed
