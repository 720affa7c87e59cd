// SPDX-License-Identifier: BSL-1.0
// numerics/deviation: how far an attention computed by any path is from one in double, with the
// error of unfused float loops (scores, std::exp, weights, output) beside it.
//
//   const auto found = deviation_of<float>(causal{}, q, k, v, [&](view<float> out) {
//     heed::attend(attention<causal>{}, q, k, v, out);
//   });
//   found.fused.rms <= found.unfused.rms
//
// Both start from the numbers as they are stored, so that only arithmetic and the rounding of the
// output differ. Golden et al., Is Flash Attention stable?, 2024: the largest error of one against
// the other. O(Lq · Lk · D), not fast.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/storage.hpp>
#include <heed/mask/concept.hpp>
#include <vector>

namespace heed {

// Of absolute errors; `relative` is their root mean square over that of what is exact.
struct deviation {
  index count = 0;
  double rms = 0, largest = 0, p999 = 0, relative = 0;
};

// Errors as they come. One that is no number counts as infinite.
class deviations {
 public:
  void add(double got, double exact) {
    const double off = std::abs(got - exact);
    errors_.push_back(off == off ? off : HUGE_VAL);
    squares_ += exact * exact;
  }
  deviation summary() {
    deviation d{.count = index(errors_.size())};
    if (errors_.empty()) return d;
    double sum = 0;
    for (const double off : errors_) sum += off * off, d.largest = std::max(d.largest, off);
    d.rms = std::sqrt(sum / double(d.count));
    d.relative = squares_ > 0 ? std::sqrt(sum / squares_) : sum > 0 ? HUGE_VAL : 0;
    // The smallest error that 999 of 1000 do not exceed.
    const auto at = errors_.begin() + (d.count * 999 + 999) / 1000 - 1;
    std::nth_element(errors_.begin(), at, errors_.end());
    d.p999 = *at;
    return d;
  }

 private:
  std::vector<double> errors_;
  double squares_ = 0;
};

// One row of softmax attention, scale 1/√D, in three loops of C, sums in order: out [Dv].
template <class C, class Mask, class Q, class K, class V>
std::vector<C> unfused_row(const Mask& mask, view<const Q> q, view<const K> k, view<const V> v,
                           index b, index h, index row) {
  const index kv = h / (q.extent[1] / k.extent[1]), depth = q.extent[3];
  position at{.b = b, .h = h, .q = row + k.extent[2] - q.extent[2], .row = row};
  const C scale = C(1) / std::sqrt(C(depth));
  std::vector<C> p, out(static_cast<std::size_t>(v.extent[3]));
  std::vector<index> keys;
  for (at.k = at.slot = 0; at.k < k.extent[2]; at.slot = ++at.k) {
    if (!mask(at)) continue;
    C s = 0;
    for (index c = 0; c < depth; ++c) s += C(q(b, h, row, c)) * C(k(b, kv, at.k, c));
    p.push_back(s * scale), keys.push_back(at.k);
  }
  if (p.empty()) return out;
  const C top = *std::max_element(p.begin(), p.end());
  C sum = 0;
  for (C& x : p) sum += x = std::exp(x - top);
  for (std::size_t j = 0; j < p.size(); ++j)
    for (std::size_t c = 0; c < out.size(); ++c)
      out[c] += p[j] / sum * C(v(b, kv, keys[j], index(c)));
  return out;
}

struct deviation_pair {
  deviation fused, unfused;
};

// What softmax attention to these keys should be, in double, once for any number of paths.
template <class Mask, class Q, class K, class V> class exact_attention {
 public:
  exact_attention(const Mask& mask, view<Q> q, view<K> k, view<V> v)
      : shape_{q.extent[0], q.extent[1], q.extent[2], v.extent[3]} {
    for (index b = 0; b < shape_[0]; ++b)
      for (index h = 0; h < shape_[1]; ++h)
        for (index i = 0; i < shape_[2]; ++i) {
          append(exact_, unfused_row<double, Mask, Q, K, V>(mask, q, k, v, b, h, i));
          append(single_, unfused_row<float, Mask, Q, K, V>(mask, q, k, v, b, h, i));
        }
  }
  // run(view<Out>) writes the whole output; what it leaves is an infinite error.
  template <class Out, class Run> deviation_pair of(const Run& run) const {
    std::vector<Out> got(exact_.size(), static_cast<Out>(std::nanf("")));
    run(view<Out>(got.data(), shape_));
    deviations fused, unfused;
    for (std::size_t i = 0; i < exact_.size(); ++i) {
      fused.add(double(got[i]), exact_[i]);
      unfused.add(double(static_cast<Out>(single_[i])), exact_[i]);
    }
    return {fused.summary(), unfused.summary()};
  }

 private:
  template <class C> static void append(std::vector<C>& to, const std::vector<C>& row) {
    to.insert(to.end(), row.begin(), row.end());
  }

  extents shape_;
  std::vector<double> exact_;
  std::vector<float> single_;
};

template <class Out, class Mask, class Q, class K, class V, class Run>
deviation_pair deviation_of(const Mask& mask, view<Q> q, view<K> k, view<V> v, const Run& run) {
  return exact_attention<Mask, Q, K, V>(mask, q, k, v).template of<Out>(run);
}

}  // namespace heed
