// SPDX-License-Identifier: BSL-1.0
// observe/group_mass: π_ig = Σ_{j in g} p_ij for groups of keys, beside the call in one pass.
//
//   group_mass mass(labels, pi);             // labels [Lk] or [B·Lk], pi [B,H,Lq,G]
//   attend(spec, q, k, v, {.out = out, .observe = &mass});
//   group_mass::gradient by_pi(mass, d_pi);  // for attend_backward's `.observed`
//
// The label of a key is its group, from 0 to G - 1; other labels belong to none. Labels are
// borrowed: spans, modalities, documents, blocks. Any normaliser. Cheapest where neighbouring keys
// have one label. Throws where labels or π do not fit the call.
#pragma once

#include <heed/observe/kept_gradient.hpp>
#include <span>

namespace heed {

class group_mass final : public observer {
 public:
  group_mass(std::span<const int> labels, const result& to) : labels_(labels), to_(to) {}

  needs wants() const override { return needs::weights; }
  void start(const observed_call& call) override {
    const auto size = static_cast<index>(labels_.size());
    if (size != call.shape.keys && size != call.batch * call.shape.keys)
      check::fail(name, "there must be one label a key, or one a key and batch item");
    detail::check_observed(name, "the mass", to_,
                           {call.batch, call.shape.heads, call.shape.queries, to_.extent[3]});
    kept_.start(call, groups(), call.shape.queries);
    per_item_ = size == call.shape.keys ? 0 : call.shape.keys;
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    kept_.finish(at, 0, groups(), end.factor, to_);
  }

  // dL/dp_ij = g of the group of j, g = dL/dπ [B,H,Lq,G]; of the call that the observer saw last.
  using gradient = detail::kept_gradient<group_mass>;

 private:
  friend class detail::kept_gradient<group_mass>;
  static constexpr const char* name = "heed::group_mass";

  index groups() const { return to_.extent[3]; }
  bool grouped(int label) const { return label >= 0 && label < groups(); }
  const int* labels_at(const tile& at) const {
    return labels_.data() + kept_.item(at.b) * per_item_ + at.slot;
  }

  template <class F> void each_number(const tile& at, F f) const {
    const int* const labels = labels_at(at);
    for (index j = 0; j < at.keys; ++j)
      if (grouped(labels[j])) f(labels[j], j);
  }
  template <class T> void add(const observed_panel<T>& x) {
    const tile& at = x.at;
    const int* const labels = labels_at(at);
    T* const sums = kept_.at<T>(at.b, at.h, 0, at.row);
    const index step = kept_.step();
    detail::rescale_lanes(x.factor, at.rows, groups(), sums, step);
    for (index j = 0, next; j < at.keys; j = next) {
      next = j + 1;
      while (next < at.keys && labels[next] == labels[j]) ++next;
      if (!grouped(labels[j])) continue;
      detail::add_keys(x.weights + j * at.pitch, at.pitch, next - j, at.rows,
                       sums + labels[j] * step);
    }
  }

  std::span<const int> labels_;
  result to_;
  detail::lane_memory kept_;
  index per_item_ = 0;
};

}  // namespace heed
