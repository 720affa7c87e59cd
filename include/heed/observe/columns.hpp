// SPDX-License-Identifier: BSL-1.0
// observe/columns: p_ij of every query for a small list of keys, beside the call in one pass.
//
//   columns words(keys, maps);              // keys [n], maps [B,H,Lq,n]
//   attend(spec, q, k, v, {.out = out, .observe = &words});
//   columns::gradient by_maps(words, d_maps);  // for attend_backward's `.observed`
//
// Keys are given by their index in the tensors, in any order, and are borrowed. Their weights are
// kept as they come and rescaled with the running sum; keys that a query does not see give 0. Any
// normaliser. DAAM, Tang et al. 2022. Throws where a call does not fit.
#pragma once

#include <heed/observe/kept_gradient.hpp>
#include <span>

namespace heed {

class columns final : public observer {
 public:
  columns(std::span<const index> keys, const result& to) : keys_(keys), to_(to) {}

  needs wants() const override { return needs::weights; }
  void start(const observed_call& call) override {
    for (const index key : keys_)
      if (key < 0 || key >= call.shape.keys)
        check::fail(name, "there is no key " + std::to_string(key));
    detail::check_observed(name, "the result", to_,
                           {call.batch, call.shape.heads, call.shape.queries, count()});
    kept_.start(call, count(), call.shape.queries);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    kept_.finish(at, 0, count(), end.factor, to_);
  }

  // dL/dp_ij = g of the column, g [B,H,Lq,n]; of the call that the observer saw last.
  using gradient = detail::kept_gradient<columns>;

 private:
  friend class detail::kept_gradient<columns>;
  static constexpr const char* name = "heed::columns";

  index count() const { return static_cast<index>(keys_.size()); }
  // f(column, key of the panel)
  template <class F> void each_number(const tile& at, F f) const {
    for (index c = 0; c < count(); ++c) {
      const index j = keys_[static_cast<std::size_t>(c)] - at.slot;
      if (j >= 0 && j < at.keys) f(c, j);
    }
  }
  template <class T> void add(const observed_panel<T>& x) {
    T* const kept = kept_.at<T>(x.at.b, x.at.h, 0, x.at.row);
    detail::rescale_lanes(x.factor, x.at.rows, count(), kept, kept_.step());
    each_number(x.at, [&](index c, index j) {
      std::copy_n(x.weights + j * x.at.pitch, x.at.rows, kept + c * kept_.step());
    });
  }

  std::span<const index> keys_;
  result to_;
  detail::lane_memory kept_;
};

}  // namespace heed
