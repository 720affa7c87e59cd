// SPDX-License-Identifier: BSL-1.0
// The least and the largest key of every page of a cache, channel by channel, in float: the
// summaries of select/quest. NaN keys do not count. Throws std::invalid_argument, before anything
// is changed, on pages and sequences that cannot be and on a source of other sizes than before.
// Memory: 2 D floats a page and kv head.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/executor.hpp>
#include <heed/kv/format.hpp>
#include <heed/kv/load.hpp>
#include <heed/kv/source.hpp>
#include <limits>
#include <vector>

namespace heed {

class page_bounds {
 public:
  explicit page_bounds(index page = 16) : page_(page) {
    if (page < 1)
      check::fail("heed::page_bounds", "page must be positive: " + std::to_string(page));
  }

  index page() const { return page_; }
  index batch() const { return batch_; }
  index heads() const { return heads_; }
  index depth() const { return depth_; }
  index length(index b) const { return seen_[at(b)]; }  // tokens looked at
  index pages(index b) const { return block_count(length(b), page_); }
  // A page has D least numbers, then D largest; pages lie one after another.
  const float* rows(index b, index h) const { return bounds_[at(b * heads_ + h)].data(); }
  const float* least(index b, index h, index p) const { return rows(b, h) + 2 * p * depth_; }
  const float* largest(index b, index h, index p) const { return least(b, h, p) + depth_; }

  // Looks at the tokens appended since the last call, and again at pages that were incomplete and
  // at the last kv_block tokens, whose codes change when their block fills. O(new).
  template <kv_source Source> void update(const Source& source, const executor_ref& executor = {}) {
    detail::check_source(source);
    update_from(source, executor);
  }
  // What follows the first `length` tokens of sequence b must be looked at again: call it where the
  // source was cut and has grown since. Evictions, forks and a change of source need length 0.
  void truncate(index b, index length) {
    if (b < 0 || b >= batch_ || length < 0)
      check::fail("heed::page_bounds::truncate", "there is no token " + std::to_string(length) +
                                                     " of sequence " + std::to_string(b));
    seen_[at(b)] = std::min(seen_[at(b)], length);
  }

 private:
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }

  HEED_NOINLINE void update_from(const kv_ref& source, const executor_ref& executor) {
    if (batch_ == 0) {
      batch_ = source.batch(), heads_ = source.heads(), depth_ = source.depth();
      bounds_.resize(at(batch_ * heads_)), seen_.resize(at(batch_));
    }
    if (source.batch() != batch_ || source.heads() != heads_ || source.depth() != depth_)
      check::fail("heed::page_bounds::update",
                  "the source must have the batch, heads and depth of the first: " +
                      check::print({source.batch(), source.heads(), source.depth(), 0}) +
                      " after " + check::print({batch_, heads_, depth_, 0}));
    row_.resize(at(executor.workers() * depth_));
    executor.for_each(batch_ * heads_, [&](index i, index worker) {
      const index b = i / heads_, h = i % heads_, length = source.length(b);
      const index settled = std::min(length, seen_[at(b)]) / kv_block * kv_block;
      auto& bounds = bounds_[at(i)];
      bounds.resize(at(block_count(length, page_) * 2 * depth_));
      for (index p = settled / page_; p < block_count(length, page_); ++p)
        bound(source, b, h, {p * page_, p * page_ + std::min(length - p * page_, page_)},
              bounds.data() + 2 * p * depth_, row_.data() + worker * depth_);
    });
    for (index b = 0; b < batch_; ++b) seen_[at(b)] = source.length(b);
  }
  void bound(const kv_ref& source, index b, index h, span tokens, float* least, float* row) const {
    float* const largest = least + depth_;
    std::fill_n(least, depth_, std::numeric_limits<float>::infinity());
    std::fill_n(largest, depth_, -std::numeric_limits<float>::infinity());
    for_each_run(source, b, h, tokens, [&](const kv_run& run, index) {
      for (index n = 0; n < run.count; ++n) {
        load_stored(run.k, n, depth_, row);
        for (index c = 0; c < depth_; ++c) {
          least[c] = row[c] < least[c] ? row[c] : least[c];
          largest[c] = row[c] > largest[c] ? row[c] : largest[c];
        }
      }
    });
  }

  index page_, batch_ = 0, heads_ = 0, depth_ = 0;
  std::vector<std::vector<float>> bounds_;  // [B, Hkv] of [pages, 2, D]
  std::vector<index> seen_;
  std::vector<float> row_;  // one a worker
};

}  // namespace heed
