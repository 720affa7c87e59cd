// SPDX-License-Identifier: BSL-1.0
// Where the gradient by one operand of a recurrence goes. Tasks know it for one head of one
// sequence, row by row; where several of them stand on the same numbers of the operand (shared
// heads, axes of extent 1), each keeps its own and they are added in the order of tasks, so no
// thread changes a bit. What is summed over tokens is summed in double.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/executor.hpp>
#include <heed/recurrence/problem.hpp>

namespace heed::detail {

template <class T> class gradient_rows {
 public:
  gradient_rows() = default;
  // Tasks give rows of `channels` numbers for `heads` heads; `summed`: one row for all tokens.
  gradient_rows(const result& to, const recurrence_problem& p, index heads, index channels,
                bool summed = false)
      : to_(to),
        p_(&p),
        heads_(heads),
        channels_(channels),
        kept_(to.extent[3] == 1 ? 1 : channels),
        summed_(summed || (to.extent[2] == 1 && p.tokens() != 1)),
        direct_(!summed_ && to.extent[0] == p.batch() && to.extent[1] == heads) {}

  bool wanted() const { return to_.present(); }

  template <class Memory> void take(Memory& from) {
    if (!wanted() || direct_) return;
    if (summed_)
      sums_ = from.template take<double>(sum_count());
    else
      rows_ = from.template take<T>(p_->batch() * heads_ * p_->tokens() * kept_);
  }
  void start() {
    if (sums_) std::fill_n(sums_, sum_count(), 0.0);
  }

  // x: rows, `pitch` apart, of `count` tokens from token `first` of the sequence on.
  void store(const token_run& s, index head, index first, index count, const T* x,
             index pitch) const {
    if (!wanted() || count == 0) return;
    if (direct_ && kept_ == channels_) {
      void* const row = to_.row(s.b, head, s.row(first));
      if (channels_ == 1 && pitch == 1)
        return simd::store_row(to_.type, x, count, row, to_.stride[2]);
      if (pitch == channels_ && to_.stride[2] == channels_ && to_.stride[3] == 1)
        return simd::store_row(to_.type, x, count * channels_, row, 1);
    }
    for (index i = 0; i < count; ++i) store_one(s, head, first + i, x + i * pitch);
  }

  // After all tasks.
  void finish(const executor_ref& executor) const {
    if (!wanted() || direct_) return;
    constexpr index block = 64;
    const index tokens = to_.extent[2], blocks = (tokens + block - 1) / block;
    executor.for_each(to_.extent[0] * to_.extent[1] * blocks, [&](index task, index) {
      const index first = task % blocks * block, h = task / blocks % to_.extent[1],
                  b = task / blocks / to_.extent[1];
      for (index l = first; l < std::min(first + block, tokens); ++l) add_up(b, h, l);
    });
  }

 private:
  void store_one(const token_run& s, index head, index i, const T* x) const {
    T total = 0;
    if (kept_ < channels_) {
      for (index c = 0; c < channels_; ++c) total += x[c];
      x = &total;
    }
    if (direct_) {
      simd::store_row(to_.type, x, kept_, to_.row(s.b, head, s.row(i)), to_.stride[3]);
    } else if (summed_) {
      double* const sum = sums_ + (s.id * heads_ + head) * kept_;
      for (index c = 0; c < kept_; ++c) sum[c] += double(x[c]);
    } else {
      std::copy_n(x, kept_, rows_ + ((s.b * heads_ + head) * p_->tokens() + s.row(i)) * kept_);
    }
  }
  index sum_count() const { return p_->list.count() * heads_ * kept_; }

  void add_up(index b, index h, index l) const {
    constexpr index strip = 64;
    const index sharing = heads_ / to_.extent[1];
    const bool every = to_.extent[0] == 1;
    for (index c = 0; c < kept_; c += strip) {
      const index some = std::min(strip, kept_ - c);
      double sum[strip] = {};
      const auto add = [&](const auto* x) {
        for (index i = 0; i < some; ++i) sum[i] += double(x[i]);
      };
      const index items = summed_ ? p_->list.count() : p_->batch();
      for (index item = 0; item < items; ++item)
        for (index g = h * sharing; g < (h + 1) * sharing; ++g) {
          if (!every && item != b) continue;
          if (summed_)
            add(sums_ + (item * heads_ + g) * kept_ + c);
          else
            add(rows_ + ((item * heads_ + g) * p_->tokens() + l) * kept_ + c);
        }
      auto* const row = static_cast<unsigned char*>(to_.row(b, h, l));
      simd::store_row(to_.type, sum, some, row + c * to_.stride[3] * size_of(to_.type),
                      to_.stride[3]);
    }
  }

  result to_{};
  const recurrence_problem* p_ = nullptr;
  index heads_ = 0, channels_ = 0, kept_ = 0;
  bool summed_ = false, direct_ = false;
  T* rows_ = nullptr;
  double* sums_ = nullptr;
};

}  // namespace heed::detail
