// SPDX-License-Identifier: BSL-1.0
// observe/group_mass: π_ig = Σ_{j in g} p_ij for groups of keys, beside the call in one pass.
//
//   group_mass mass(labels, pi);             // labels [Lk] or [B·Lk], pi [B,H,Lq,G]
//   attend(spec, q, k, v, {.out = out, .observe = &mass});
//   group_mass::gradient by_pi(mass, d_pi);  // for attend_backward's `.observed`
//
// The label of a key is its group, from 0 to G - 1; other labels belong to none. Labels are
// borrowed: spans, modalities, documents, blocks. Any normaliser. Cheapest where neighbouring keys
// have one label.
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
      T* const sum = sums + labels[j] * step;
      detail::each_lane<T>(at.rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
        using B = simd::batch<T, A>;
        const T* p = x.weights + lane;
        B s[4] = {simd::load<T, A>(sum + lane), B(T(0)), B(T(0)), B(T(0))};
        index i = j;
        for (; i + 4 <= next; i += 4)
          HEED_UNROLL for (int c = 0; c < 4; ++c) s[c] =
              s[c] + simd::load<T, A>(p + (i + c) * at.pitch);
        for (; i < next; ++i) s[0] = s[0] + simd::load<T, A>(p + i * at.pitch);
        simd::store(sum + lane, B((s[0] + s[1]) + (s[2] + s[3])));
      });
    }
  }

  std::span<const int> labels_;
  result to_;
  detail::lane_memory kept_;
  index per_item_ = 0;
};

}  // namespace heed
