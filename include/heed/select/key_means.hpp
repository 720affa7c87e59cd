// SPDX-License-Identifier: BSL-1.0
// k-means of the keys of one head, from centres chosen one by one.
#pragma once

#include <cmath>
#include <heed/select/token_scores.hpp>
#include <limits>
#include <vector>

namespace heed::detail {

// Σ_c (x_c - y_c)²: by the differences, so that near keys keep their digits.
template <class Arch, class T> T squared_distance(const T* x, const T* y, index depth) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B sum(T(0));
  index c = 0;
  for (; c + W <= depth; c += W) {
    const B d = simd::load<T, Arch>(x + c) - simd::load<T, Arch>(y + c);
    sum = simd::fma(d, d, sum);
  }
  T each[W], total = 0;
  simd::store(each, sum);
  for (T e : each) total += e;
  for (; c < depth; ++c) total += (x[c] - y[c]) * (x[c] - y[c]);
  return total;
}

// Means of rows by group; `members` are counted already. Zeros for an empty group.
template <class T>
void group_means(const operand& x, index head, const int* group, const index* members, index count,
                 T* mean) {
  const index channels = x.extent[3];
  std::vector<double> sum(static_cast<std::size_t>(count * channels));
  std::vector<T> row(static_cast<std::size_t>(channels));
  for (index j = 0; j < x.extent[2]; ++j) {
    simd::load_row(x.type, x.row(head / x.extent[1], head % x.extent[1], j), x.stride[3], channels,
                   row.data());
    double* const to = sum.data() + group[j] * channels;
    for (index c = 0; c < channels; ++c) to[c] += double(row[static_cast<std::size_t>(c)]);
  }
  for (index g = 0; g < count; ++g)
    for (index c = 0; c < channels; ++c)
      mean[g * channels + c] = static_cast<T>(sum[static_cast<std::size_t>(g * channels + c)] /
                                              double(std::max<index>(members[g], 1)));
}

// Each row: that of its group over the members.
template <class T>
void spread_means(const operand& from, index head, const int* group, const index* members,
                  const result& x) {
  const index channels = x.extent[3], b = head / x.extent[1], h = head % x.extent[1];
  std::vector<T> row(static_cast<std::size_t>(channels));
  for (index j = 0; j < x.extent[2]; ++j) {
    simd::load_row(from.type, from.row(b, h, group[j]), from.stride[3], channels, row.data());
    for (T& e : row) e /= T(members[group[j]]);
    simd::store_row(x.type, row.data(), channels, x.row(b, h, j), x.stride[3]);
  }
}

template <class T, class Arch> class key_means {
 public:
  key_means(const operand& k, index head, index count, int* group, index* members, T* mean)
      : k_(k),
        head_(head),
        count_(count),
        keys_(k.extent[2]),
        depth_(k.extent[3]),
        group_(group),
        members_(members),
        mean_(mean),
        x_(static_cast<std::size_t>(keys_ * depth_)),
        near_(static_cast<std::size_t>(keys_)) {
    load_head<Arch>(k, head / k.extent[1], head % k.extent[1], none{}, x_.data());
  }

  // Centres are keys: the first one, then the key farthest from all centres, ties to the lower
  // number, until none is farther than `enough`; every `step`-th key is looked at. Each of these
  // joins the first of its nearest centres.
  void farthest(double enough, index step) {
    std::fill_n(group_, keys_, 0);
    std::fill(near_.begin(), near_.end(), std::numeric_limits<T>::infinity());
    index centre = 0;
    for (int g = 0; g < count_; ++g) {
      T most = T(enough * enough);
      index next = -1;
      for (index j = 0; j < keys_; j += step) {
        T& near = near_[static_cast<std::size_t>(j)];
        const T d = squared_distance<Arch>(key(j), key(centre), depth_);
        if (d < near) near = d, group_[j] = g;
        if (near > most) most = near, next = j;
      }
      if (step > 1) std::copy_n(key(centre), depth_, mean_ + g * depth_), members_[g] = 1;
      if (next < 0) break;
      centre = next;
    }
    if (step > 1)
      round();
    else
      average();
  }
  // Every key joins the nearest mean, ties to the lower number: that of the largest k·r - ‖r‖²/2.
  void round() {
    if (keys_ == 0) return;
    std::vector<T> s(static_cast<std::size_t>(4 * keys_));
    std::fill(near_.begin(), near_.end(), -std::numeric_limits<T>::infinity());
    for (index g = 0; g < count_; g += 4) {
      const index some = std::min<index>(4, count_ - g);
      token_scores<Arch>(mean_ + g * depth_, some, x_.data(), keys_, depth_, s.data());
      for (index i = 0; i < some; ++i) {
        if (members_[g + i] == 0) continue;
        const T half = simd::sum_of_squares<Arch>(mean_ + (g + i) * depth_, depth_) / T(2);
        for (index j = 0; j < keys_; ++j)
          if (const T is = s[static_cast<std::size_t>(i * keys_ + j)] - half;
              is > near_[static_cast<std::size_t>(j)])
            near_[static_cast<std::size_t>(j)] = is, group_[j] = static_cast<int>(g + i);
      }
    }
    average();
  }
  double radius() const {
    T most = 0;
    for (index j = 0; j < keys_; ++j)
      most = std::max(most, squared_distance<Arch>(key(j), mean_ + group_[j] * depth_, depth_));
    return std::sqrt(double(most));
  }

 private:
  const T* key(index j) const { return x_.data() + j * depth_; }
  void average() {
    std::fill_n(members_, count_, index{0});
    for (index j = 0; j < keys_; ++j) ++members_[group_[j]];
    group_means(k_, head_, group_, members_, count_, mean_);
  }

  const operand& k_;
  index head_, count_, keys_, depth_;
  int* group_;
  index* members_;
  T* mean_;
  std::vector<T> x_, near_;
};

}  // namespace heed::detail
