// SPDX-License-Identifier: BSL-1.0
// observe/columns: p_ij of every query for a small list of keys, beside the call in one pass.
//
//   columns words(keys, maps);              // keys [n], maps [B,H,Lq,n]
//   attend(spec, q, k, v, {.out = out, .observe = &words});
//   columns::gradient by_maps(words, d_maps);  // for attend_backward's `.observed`
//
// Keys are given by their index in the tensors, in any order, and are borrowed. Their weights are
// kept as they come and rescaled with the running sum; keys that a query does not see give 0. Any
// normaliser.
#pragma once

#include <heed/observe/lanes.hpp>
#include <span>

namespace heed {

class columns final : public observer {
 public:
  columns(std::span<const index> keys, const result& to) : keys_(keys), to_(to) {}

  needs wants() const override { return needs::weights; }
  void start(const observed_call& call) override {
    for (const index key : keys_)
      if (key < 0 || key >= call.shape.keys)
        check::fail("heed::columns", "there is no key " + std::to_string(key));
    detail::check_observed("heed::columns", "the result", to_,
                           {call.batch, call.shape.heads, call.shape.queries, count()});
    kept_.start(call, count(), call.shape.queries);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    kept_.finish(at, 0, count(), end.factor, to_);
  }

  // dL/dp_ij = g of the column, g [B,H,Lq,n]; of the call that the observer saw last.
  class gradient final : public observed_gradient {
   public:
    gradient(const columns& seen, const operand& g) : seen_(seen), g_(checked(seen, g)) {}
    void add(const tile& at, const float*, float* dp) const override { each(at, dp); }
    void add(const tile& at, const double*, double* dp) const override { each(at, dp); }
    double delta(const row_position& at) const override {
      double sum = 0;
      for (index c = 0; c < seen_.count(); ++c)
        sum += *g_.lanes(at.b, at.h, c, at.row) * seen_.kept_.get(at.b, at.h, c, at.row);
      return sum;
    }

   private:
    static const operand& checked(const columns& seen, const operand& g) {
      detail::check_observed("heed::columns", "its gradient", g, seen.to_.extent);
      return g;
    }
    template <class T> void each(const tile& at, T* dp) const {
      seen_.each_seen(at, [&](index c, index j) { g_.add(at, c, dp + j * at.pitch); });
    }

    const columns& seen_;
    detail::row_gradients g_;
  };

 private:
  index count() const { return static_cast<index>(keys_.size()); }
  // f(column, key of the panel)
  template <class F> void each_seen(const tile& at, F f) const {
    for (index c = 0; c < count(); ++c) {
      const index j = keys_[static_cast<std::size_t>(c)] - at.slot;
      if (j >= 0 && j < at.keys) f(c, j);
    }
  }
  template <class T> void add(const observed_panel<T>& x) {
    T* const kept = kept_.at<T>(x.at.b, x.at.h, 0, x.at.row);
    detail::rescale_lanes(x.factor, x.at.rows, count(), kept, kept_.step());
    each_seen(x.at, [&](index c, index j) {
      std::copy_n(x.weights + j * x.at.pitch, x.at.rows, kept + c * kept_.step());
    });
  }

  std::span<const index> keys_;
  result to_;
  detail::lane_memory kept_;
};

}  // namespace heed
