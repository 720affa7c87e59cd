// SPDX-License-Identifier: BSL-1.0
// How much of full attention is left where a query sees few of the keys.
#pragma once

#include <chrono>
#include <cmath>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/observe/row_top.hpp>
#include <vector>

#include "../decoder/block.hpp"

namespace long_text {

using heed::index;
using clock = std::chrono::steady_clock;

inline constexpr index top_keys = 8;

struct result {
  double weight = 0;    // of what full attention gives to keys, the share on keys that are seen
  double top = 0;       // share of the `top_keys` keys it weighs most that are seen
  double error = 0;     // |out - out of full attention| / |out of full attention|
  double seconds = 0;   // of choosing and attending
  double choosing = 0;  // of choosing alone
  double pairs = 0;     // that are computed, over those of full attention
};

// [heads · length] numbers a row, of one layer.
struct rows {
  heed::extents extent;
  std::vector<float> data;
  rows(index heads, index length, index channels)
      : extent{1, heads, length, channels},
        data(static_cast<std::size_t>(heads * length * channels)) {}
  heed::view<float> view() { return {data.data(), extent}; }
};

template <class F> double seconds(F f) {
  const clock::time_point start = clock::now();
  f();
  return std::chrono::duration<double>(clock::now() - start).count();
}

// Full causal attention of one layer, and what it weighs most.
class full_attention {
 public:
  full_attention(const decoder::qkv_views<float>& x, std::span<const float> sinks,
                 heed::executor_ref executor, heed::workspace& scratch)
      : sinks_(sinks),
        length_(x.q.extent[2]),
        out_(x.q.extent[1], length_, x.v.extent[3]),
        lse_(x.q.extent[1], length_, 1),
        weights_(x.q.extent[1], length_, top_keys),
        keys_(weights_.data.size()) {
    const heed::attention spec{.mask = heed::causal{}, .normalizer = heed::sink_softmax{sinks}};
    const heed::view<int> keys(keys_.data(), weights_.extent);
    heed::row_top most(keys, weights_.view());
    heed::attend(spec, x.q, x.k, x.v, {.out = out_.view(), .lse = lse_.view(), .observe = &most},
                 executor, scratch);
    seconds_ = seconds([&] { heed::attend(spec, x.q, x.k, x.v, out_.view(), executor, scratch); });
  }

  double seconds_taken() const { return seconds_; }
  double pairs() const {
    return double(out_.extent[1]) * double(length_) * double(length_ + 1) / 2;
  }

  // Recall of a call with the same sinks whose rows have these lse, and in which a query sees what
  // `sees(h, row, key)` says. The sink, which every query sees, counts for nothing.
  template <class Sees> void recall(const rows& lse, Sees sees, result& r) const {
    double kept = 0, all = 0;
    index found = 0, asked = 0;
    for (index h = 0; h < lse_.extent[1]; ++h)
      for (index i = 0; i < length_; ++i) {
        const auto at = static_cast<std::size_t>(h * length_ + i);
        const double whole = double(lse_.data[at]);
        const double sink = std::exp(double(sinks_[static_cast<std::size_t>(h)]) - whole);
        all += 1 - sink;
        kept += std::exp(double(lse.data[at]) - whole) - sink;
        for (std::size_t t = 0; t < top_keys; ++t) {
          const int key = keys_[at * top_keys + t];
          if (key < 0) continue;
          ++asked;
          found += sees(h, i, key) ? 1 : 0;
        }
      }
    r.weight = kept / all;
    r.top = double(found) / double(asked);
  }
  double error(const rows& out) const {
    double off = 0, size = 0;
    for (std::size_t n = 0; n < out.data.size(); ++n) {
      const double want = double(out_.data[n]), by = double(out.data[n]) - want;
      off += by * by, size += want * want;
    }
    return std::sqrt(off / size);
  }

 private:
  std::span<const float> sinks_;
  index length_;
  rows out_, lse_, weights_;
  std::vector<int> keys_;
  double seconds_ = 0;
};

}  // namespace long_text
