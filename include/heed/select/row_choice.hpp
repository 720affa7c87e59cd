// SPDX-License-Identifier: BSL-1.0
// Choices of blocks by single rows, made side by side and put together as lists.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/plan/block_lists.hpp>
#include <heed/select/data.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

inline void check_choice(const char* operation, const operand& q, const operand& k) {
  const auto fail = [&](const char* rule) { check::fail(operation, rule, {{"q", q}, {"k", k}}); };
  if (q.extent[0] != k.extent[0] || q.extent[3] != k.extent[3])
    fail("q and k must have the same batch and channels");
  if (k.extent[1] == 0 ? q.extent[1] != 0 : q.extent[1] % k.extent[1] != 0)
    fail("query heads must be a multiple of key heads");
  check_data(operation, {{"q", q}, {"k", k}});
}

// `heads` of lists, each for `group` query heads, with a list a query row.
struct choice_shape {
  index batch, heads, group, queries;
};

template <class T> class row_choice {
 public:
  // At most `top` of `blocks` blocks a row, `keys` keys each; `each` rows at once.
  row_choice(const choice_shape& shape, index top, index keys, const executor_ref& executor,
             index blocks, index each = 64)
      : shape_(shape), top_(std::min(top, blocks)), keys_(keys), blocks_(blocks), each_(each) {
    const auto lists = static_cast<std::size_t>(shape.batch * shape.heads * shape.queries);
    counts_.assign(lists, 0);
    chosen_.resize(lists * static_cast<std::size_t>(top_));
    scratch_.resize(static_cast<std::size_t>(executor.workers()));
  }

  // What a task works with.
  class worker {
   public:
    T* scores() { return scores_.data(); }  // [row][block]
    // Rows of q, one after another.
    template <class Arch> const T* rows(const operand& q, index b, index h, span rows) {
      const index depth = q.extent[3];
      if (simd::stored_as<T>(q) && q.stride[2] == depth)
        return static_cast<const T*>(q.row(b, h, rows.begin));
      queries_.resize(static_cast<std::size_t>(rows.size() * depth));
      for (index i = rows.begin; i < rows.end; ++i)
        simd::load_row(q.type, q.row(b, h, i), q.stride[3], depth,
                       queries_.data() + (i - rows.begin) * depth);
      return queries_.data();
    }
    // What row i of the head takes, ascending.
    int* chosen(index i) const {
      return all_->chosen_.data() + static_cast<std::size_t>((first_ + i) * all_->top_);
    }
    void took(index i, index count) const {
      all_->counts_[static_cast<std::size_t>(first_ + i)] = static_cast<int>(count);
    }
    T* rest() { return rest_.data(); }
    index number() const { return this - all_->scratch_.data(); }
    // Row i of the head takes the best of its first `count` scores, at most `top`.
    void choose(index i, const T* scores, index count, index top) {
      took(i, top_k(scores, count, std::min(top, all_->top_), chosen(i), rest_.data()));
    }
    void choose(index i, const T* scores, index count) { choose(i, scores, count, all_->top_); }

   private:
    friend class row_choice;
    row_choice* all_ = nullptr;
    index first_ = 0;
    std::vector<T> scores_, rest_, queries_;
  };

  // f(b, head of lists, rows, worker) for some rows at a time.
  template <class F> void each_rows(const executor_ref& executor, F f) {
    const index pieces = (shape_.queries + each_ - 1) / each_;
    executor.for_each(shape_.batch * shape_.heads * pieces, [&](index i, index w) {
      worker& at = scratch_[static_cast<std::size_t>(w)];
      const index head = i / pieces, first = i % pieces * each_;
      at.all_ = this;
      at.first_ = head * shape_.queries;
      at.scores_.resize(static_cast<std::size_t>(each_ * blocks_));
      at.rest_.resize(static_cast<std::size_t>(blocks_));
      f(head / shape_.heads, head % shape_.heads,
        span{first, std::min(first + each_, shape_.queries)}, at);
    });
  }

  block_selection take() const {
    block_selection to{.batch = shape_.batch,
                       .heads = shape_.heads,
                       .group = shape_.group,
                       .rows = 1,
                       .keys = keys_};
    to.offsets.reserve(counts_.size() + 1);
    for (const int count : counts_) to.offsets.push_back(to.offsets.back() + count);
    to.blocks.resize(static_cast<std::size_t>(to.offsets.back()));
    for (std::size_t i = 0; i < counts_.size(); ++i)
      std::copy_n(chosen_.data() + i * static_cast<std::size_t>(top_), counts_[i],
                  to.blocks.data() + to.offsets[i]);
    return to;
  }

 private:
  choice_shape shape_;
  index top_, keys_, blocks_, each_;
  std::vector<int> counts_, chosen_;
  std::vector<worker> scratch_;
};

}  // namespace heed::detail
