// SPDX-License-Identifier: BSL-1.0
// Weights of kernels as the loops of local/ read them: w[tap][lane], whole vectors of lanes, where
// lanes are channels or positions. The softmax over taps, and what is taken off their mean, are
// worked out lane by lane.
#pragma once

#include <heed/local/problem.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/transpose.hpp>

namespace heed::detail {

template <class T, class Arch> struct lane_weights {
  using B = simd::batch<T, Arch>;
  static constexpr index W = simd::width<T, Arch>;

  const local_problem& p;
  T* w;
  index lanes, pitch;  // from a tap to the next one
  const T* share;      // [lane], after the sigmoid

  // row(i) is where the weights of lane i lie; `step` elements apart, or 0 if that is not known.
  // `room` has space for all of them.
  template <class Row> void load(const Row& row, index step, T* room) const {
    const operand& table = p.weight;
    const index taps = p.weights();
    if (lanes <= 0) return;
    if (table.type == element_of<T>::value && table.stride[3] == 1 && step != 0)
      return simd::to_lanes<T, Arch>(static_cast<const T*>(row(0)), step, lanes, taps, T(1), w,
                                     pitch);
    for (index i = 0; i < lanes; ++i)
      simd::load_row(table.type, row(i), table.stride[3], taps, room + i * taps);
    simd::to_lanes<T, Arch>(room, taps, lanes, taps, T(1), w, pitch);
  }

  HEED_NOINLINE void prepare() const {
    const index taps = p.weights();
    if (p.rule == weighting::as_given) return;
    for (index i = 0; i < lanes; i += W) {
      if (p.rule == weighting::softmax) {
        B top = at(0, i), sum(T(0));
        for (index j = 1; j < taps; ++j) top = simd::max(top, at(j, i));
        for (index j = 0; j < taps; ++j) {
          const B e = simd::exp(B(at(j, i) - top));
          sum = sum + e;
          put(j, i, e);
        }
        const B part = B(T(1)) / sum;
        for (index j = 0; j < taps; ++j) put(j, i, at(j, i) * part);
      } else {
        const B off = simd::load<T, Arch>(share + i) * mean(w, i);
        for (index j = 0; j < taps; ++j) put(j, i, at(j, i) - off);
      }
    }
  }

  // dL/dw of the weights that were used, prepared as here, becomes that of the weights given;
  // `by_share`, [lane]: dL/d(share before the sigmoid). With κ' = κ - σ(λ) mean κ, of which the
  // mean is (1 - σ(λ)) mean κ: dλ = -σ(λ) mean κ' Σ dκ', and nothing is divided.
  HEED_NOINLINE void reverse(T* d, T* by_share) const {
    const index taps = p.weights();
    for (index i = 0; i < lanes; i += W) {
      if (p.rule == weighting::softmax) {
        B sum(T(0));
        for (index j = 0; j < taps; ++j)
          sum = simd::fma(at(j, i), simd::load<T, Arch>(d + j * pitch + i), sum);
        for (index j = 0; j < taps; ++j)
          simd::store(d + j * pitch + i,
                      B(at(j, i) * (simd::load<T, Arch>(d + j * pitch + i) - sum)));
      } else if (p.rule == weighting::less_mean) {
        const B part = simd::load<T, Arch>(share + i), all = mean(d, i), off = part * all;
        simd::store(by_share + i, B(B(T(-taps)) * part * mean(w, i) * all));
        for (index j = 0; j < taps; ++j)
          simd::store(d + j * pitch + i, B(simd::load<T, Arch>(d + j * pitch + i) - off));
      }
    }
  }

 private:
  B at(index j, index i) const { return simd::load<T, Arch>(w + j * pitch + i); }
  void put(index j, index i, const B& x) const { simd::store(w + j * pitch + i, x); }
  B mean(const T* from, index i) const {
    const index taps = p.weights();
    B sum(T(0));
    for (index j = 0; j < taps; ++j) sum = sum + simd::load<T, Arch>(from + j * pitch + i);
    return sum * B(T(1) / T(taps));
  }
};

// σ of what share the mean of a kernel is taken off by; 0 if there is none.
template <class T> T share_of(const local_problem& p, index kernel) {
  if (!p.share.present()) return T(0);
  T x;
  simd::load_row(p.share.type, p.share.row(0, kernel, 0), 1, 1, &x);
  return simd::sigmoid(x);
}

}  // namespace heed::detail
