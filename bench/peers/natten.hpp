// SPDX-License-Identifier: BSL-1.0
// Neighborhood attention in the way of NATTEN's CPU kernels, 0.14 being the fastest of them: one
// pixel at a time, in three passes over the map. Scores: a dot product a neighbour in vectors of
// 256 bits, whose lanes are added one after the other through memory, as ATen's vec_reduce_all
// does. A softmax of each row of window² scores, all of which are stored. Values: one more
// multiply-add a neighbour on the output in memory.
#pragma once

#include "../support/neighborhoods.hpp"

#include <heed/simd/exp2.hpp>
#include <heed/simd/lanes.hpp>

#include <type_traits>

namespace bench {

class natten_peer {
 public:
  // One head of the problem; `run` tells the time of as many as it has.
  natten_peer(const windows& w, const float* q, const float* k, const float* v)
      : w_(w),
        q_(q),
        k_(k),
        v_(v),
        scores_(static_cast<std::size_t>(w.tokens() * w.window_keys())),
        out_(static_cast<std::size_t>(w.tokens() * w.dim)) {}

  const float* out() const { return out_.data(); }
  double run(int times) {
    return static_cast<double>(w_.heads) * seconds_per_call(times, [this] {
             for (index i = 0; i < w_.tokens(); ++i) score(i);
             for (index i = 0; i < w_.tokens(); ++i) normalize(row(i));
             for (index i = 0; i < w_.tokens(); ++i) average(i);
           });
  }

 private:
  using arch = std::conditional_t<xsimd::avx2::supported(), xsimd::avx2, heed::simd::best>;
  using lanes = heed::simd::batch<float, arch>;
  static constexpr index W = heed::simd::width<float, arch>;

  float* row(index i) { return scores_.data() + i * w_.window_keys(); }

  // f(neighbour, its place in the window)
  template <class F> void each_neighbour(index i, const F& f) const {
    const auto at = w_.place(i);
    std::array<index, 3> first;
    for (std::size_t n = 0; n < 3; ++n)
      first[n] = window_start(w_.size[n], w_.window[n], w_.stride[n], w_.dilation[n], at[n]) *
                     w_.dilation[n] +
                 at[n] % w_.dilation[n];
    index j = 0;
    for (index z = 0; z < w_.window[0]; ++z)
      for (index y = 0; y < w_.window[1]; ++y)
        for (index x = 0; x < w_.window[2]; ++x, ++j)
          f(((first[0] + z * w_.dilation[0]) * w_.size[1] + first[1] + y * w_.dilation[1]) *
                    w_.size[2] +
                first[2] + x * w_.dilation[2],
            j);
  }
  static float lane_by_lane(lanes sum) {
    float each[W];
    heed::simd::store(each, sum);
    for (index l = 1; l < W; ++l) {
      float next[W] = {};
      next[0] = each[l];
      sum = sum + heed::simd::load<float, arch>(next);
    }
    heed::simd::store(each, sum);
    return each[0];
  }
  void score(index i) {
    const float* const q = q_ + i * w_.dim;
    float* const to = row(i);
    const float scale = 1 / std::sqrt(static_cast<float>(w_.dim));
    each_neighbour(i, [&](index key, index j) {
      const float* const k = k_ + key * w_.dim;
      lanes sum(0.0f);
      for (index c = 0; c < w_.dim; c += W)
        sum = heed::simd::fma(heed::simd::load<float, arch>(q + c),
                              heed::simd::load<float, arch>(k + c), sum);
      to[j] = scale * lane_by_lane(sum);
    });
  }
  void normalize(float* s) const {
    const index n = w_.window_keys();
    const float top = *std::max_element(s, s + n);
    lanes sums(0.0f);
    float sum = 0;
    index j = 0;
    for (; j + W <= n; j += W) {
      const lanes e = heed::simd::exp(lanes(heed::simd::load<float, arch>(s + j) - lanes(top)));
      heed::simd::store(s + j, e);
      sums = sums + e;
    }
    for (; j < n; ++j) sum += s[j] = std::exp(s[j] - top);
    sum += heed::simd::sum_lanes<float, arch>(sums);
    for (j = 0; j < n; ++j) s[j] /= sum;
  }
  void average(index i) {
    float* const o = out_.data() + i * w_.dim;
    const float* const p = row(i);
    std::fill_n(o, w_.dim, 0.0f);
    each_neighbour(i, [&](index key, index j) {
      const float* const v = v_ + key * w_.dim;
      const lanes weight(p[j]);
      for (index c = 0; c < w_.dim; c += W)
        heed::simd::store(o + c, heed::simd::fma(weight, heed::simd::load<float, arch>(v + c),
                                                 heed::simd::load<float, arch>(o + c)));
    });
  }

  windows w_;
  const float *q_, *k_, *v_;
  buffer<float> scores_, out_;
};

}  // namespace bench
