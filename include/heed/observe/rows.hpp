// SPDX-License-Identifier: BSL-1.0
// observe/rows: p_i· of chosen queries (the last token, [CLS], an answer), beside the call in one
// pass.
//
//   rows last(queries, maps);               // queries [n], maps [B,H,n,Lk]
//   attend(spec, q, k, v, {.out = out, .observe = &last});
//
// Queries are given by their row in the tensors, in any order, and are borrowed. Weights are kept
// as they come and rescaled with the running sum; keys that a query does not see give 0. Any
// normaliser. Costs nothing where no chosen query lies. Clark et al., What Does BERT Look At?,
// 2019. Throws where a call does not fit.
#pragma once

#include <heed/observe/lanes.hpp>
#include <span>

namespace heed {

class rows final : public observer {
 public:
  rows(std::span<const index> queries, const result& to) : queries_(queries), to_(to) {}

  needs wants() const override { return needs::weights; }
  void start(const observed_call& call) override {
    for (const index row : queries_)
      if (row < 0 || row >= call.shape.queries)
        check::fail("heed::rows", "there is no query " + std::to_string(row));
    detail::check_observed("heed::rows", "the result", to_,
                           {call.batch, call.shape.heads, count(), call.shape.keys});
    keys_ = call.shape.keys;
    kept_.start(call, count(), keys_);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    for (index i = 0; i < count(); ++i) {
      if (queries_[static_cast<std::size_t>(i)] != at.row) continue;
      kept_.whole([&](auto* all, index) {
        using T = std::remove_pointer_t<decltype(all)>;
        T* const p = kept_.at<T>(at.b, at.h, i, 0);
        for (index j = 0; j < keys_; ++j) p[j] *= static_cast<T>(end.factor);
        simd::store_row(to_.type, p, keys_, to_.row(kept_.item(at.b), at.h, i), to_.stride[3]);
      });
    }
  }

 private:
  index count() const { return static_cast<index>(queries_.size()); }

  template <class T> void add(const observed_panel<T>& x) {
    for (index i = 0; i < count(); ++i) {
      const index lane = queries_[static_cast<std::size_t>(i)] - x.at.row;
      if (lane < 0 || lane >= x.at.rows) continue;
      T* const kept = kept_.at<T>(x.at.b, x.at.h, i, 0);
      if (x.factor && x.factor[lane] != T(1))
        for (index j = 0; j < x.at.slot; ++j) kept[j] *= x.factor[lane];
      for (index j = 0; j < x.at.keys; ++j) kept[x.at.slot + j] = x.weights[j * x.at.pitch + lane];
    }
  }

  std::span<const index> queries_;
  result to_;
  detail::lane_memory kept_;
  index keys_ = 0;
};

}  // namespace heed
