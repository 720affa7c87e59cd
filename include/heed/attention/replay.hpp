// SPDX-License-Identifier: BSL-1.0
// Driver `replay`: the exact weights of a finished call, a panel of queries against a span of keys
// at a time, from its lse. Backward, column observers and the edits of final weights are loops over
// such panels.
//
// What the normaliser needs of a row is kept as {max, sum}: softmax-like ones replay with
// max = lse · log2 e and sum = 1, so that e^{s - lse} is the finished weight; the others with what
// the forward pass ended with.
#pragma once

#include <heed/attention/panel.hpp>
#include <heed/attention/stream.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <vector>

namespace heed::detail {

// A row that saw nothing: every weight 0.
template <class T> row_state<T> replayed(double lse) {
  if (lse == -std::numeric_limits<double>::infinity()) return {-masked<T>, T(1)};
  return {static_cast<T>(lse * simd::log2e), T(1)};
}

// Scores to finished weights, in place.
template <class Arch, class N, class T>
void replay_weights(const N& normalizer, T* s, index pitch, index keys,
                    const row_state<simd::batch<T, Arch>>& state) {
  using B = simd::batch<T, Arch>;
  if constexpr (requires { normalizer.template replay<Arch>(s, pitch, keys, state); }) {
    normalizer.template replay<Arch>(s, pitch, keys, state);
  } else {
    const auto& steps = steps_of(normalizer);
    row_state<B> running{state.max, B(T(0))};
    B factor(T(1));
    steps.template absorb<Arch>(s, pitch, keys, running, factor);
    const B finish = steps.finish(state);
    for (index j = 0; j < keys; ++j)
      simd::store(s + j * pitch, B(simd::load<T, Arch>(s + j * pitch) * finish));
  }
}

// {max, sum} of every query row of the tensors, as the forward pass left them.
template <class T> class row_states final : public observer {
 public:
  explicit row_states(const problem_shape& shape)
      : batch_(shape.batch),
        heads_(shape.heads),
        rows_(shape.queries),
        of_(static_cast<std::size_t>(batch_ * heads_ * rows_),
            replayed<T>(-std::numeric_limits<double>::infinity())) {}

  void row(const row_position& at, double max, double sum) override {
    (*this)(batch_ == 1 ? 0 : at.b, at.h, at.row) = {static_cast<T>(max), static_cast<T>(sum)};
  }
  row_state<T>& operator()(index b, index h, index row) {
    return of_[static_cast<std::size_t>((b * heads_ + h) * rows_ + row)];
  }
  // From what a softmax-like normaliser ended with.
  template <class N> void to_lse(const N& normalizer) {
    for (row_state<T>& s : of_)
      s = replayed<T>(normalizer.lse(row_state<double>{double(s.max), double(s.sum)}));
  }
  void read(const operand& lse) {
    for (index b = 0; b < batch_; ++b)
      for (index h = 0; h < heads_; ++h)
        for (index r = 0; r < rows_; ++r) {
          double value = 0;
          simd::load_row(lse.type, lse.row(b, h, r), 1, 1, &value);
          (*this)(b, h, r) = replayed<T>(value);
        }
  }

 private:
  index batch_, heads_, rows_;
  std::vector<row_state<T>> of_;
};

}  // namespace heed::detail
