// SPDX-License-Identifier: BSL-1.0
// normalizer/softmax: p_ij = e^{s_ij - m_i} / Σ_j e^{s_ij - m_i},
// lse_i = m_i + log Σ_j e^{s_ij - m_i}.
//
// Online over key tiles (numerics/online_softmax). The maximum is lazy: it moves only where a tile
// exceeds it by more than 2^8, which is exact after normalising and saves the rescaling of outputs.
// A row without keys gives zeros and lse = -inf. Vaswani et al. 2017; online: Milakov and
// Gimelshein 2018. Cost: an exponential a pair.
#pragma once

#include <heed/normalizer/concept.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/log.hpp>
#include <limits>

namespace heed {

struct softmax {
  template <class T> row_state<T> start(const row_position&) const { return {nothing<T>, T(0)}; }

  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>& factor, double scale = 1) const {
    using B = simd::batch<T, Arch>;
    const B unit = simd::constant<B>(simd::log2e * scale);
    const bool moved = raise(B(largest<Arch>(s, pitch, keys) * unit), state, factor);
    state.sum = state.sum + exponentials<Arch>(s, pitch, keys, unit, B(B(T(0)) - state.max));
    return moved;
  }

  // One row, its keys side by side: a multiple of the width.
  template <class Arch, class T>
  HEED_NOINLINE bool absorb_row(T* s, index keys, row_state<T>& state, T& factor,
                                double scale) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const T unit = static_cast<T>(simd::log2e * scale);
    const T top = simd::max_lanes<T, Arch>(largest<Arch>(s, W, keys / W));
    const bool moved = raise(T(top * unit), state, factor);
    state.sum +=
        simd::sum_lanes<T, Arch>(exponentials<Arch>(s, W, keys / W, B(unit), B(-state.max)));
    return moved;
  }

  // All the keys of a row, few enough for registers: `start` and one `absorb`.
  template <class Arch, class T>
  HEED_INLINE row_state<simd::batch<T, Arch>> absorb_all(T* s, index pitch, index keys) const {
    using B = simd::batch<T, Arch>;
    const B unit = simd::constant<B>(simd::log2e);
    row_state<B> state{B(nothing<T>), B(T(0))};
    for (index j = 0; j < keys; ++j)
      state.max = simd::max(state.max, B(simd::load<T, Arch>(s + j * pitch) * unit));
    for (index j = 0; j < keys; ++j) {
      T* x = s + j * pitch;
      const B p = simd::exp2(B(simd::fma(simd::load<T, Arch>(x), unit, B(B(T(0)) - state.max))));
      simd::store(x, p);
      state.sum = state.sum + p;
    }
    return state;
  }

  template <class B> B finish(const row_state<B>& state) const {
    using simd::constant;
    return simd::select(empty(state), constant<B>(0), B(constant<B>(1) / state.sum));
  }
  template <class B> B lse(const row_state<B>& state) const {
    using simd::constant;
    const B value = simd::fma(state.max, constant<B>(simd::ln2), simd::log(state.sum));
    return simd::select(empty(state), constant<B>(-std::numeric_limits<double>::infinity()), value);
  }

  // Finished weights from a state {lse · log2 e, 1}.
  template <class Arch, class T>
  void replay(T* s, index pitch, index keys, const row_state<simd::batch<T, Arch>>& state) const {
    using B = simd::batch<T, Arch>;
    const B unit = simd::constant<B>(simd::log2e), shift = B(T(0)) - state.max;
    for (index j = 0; j < keys; ++j)
      simd::store(s + j * pitch,
                  B(simd::exp2(B(simd::fma(simd::load<T, Arch>(s + j * pitch), unit, shift)))));
  }
  template <class B>
  B dscore(const B&, const B& p, const B& dp, const B& delta, const row_state<B>&) const {
    return p * (dp - delta);
  }

  // Moves the maximum to `top` (log2 units) where that exceeds it by more than 8; true if it moved.
  template <class B> static bool raise(const B& top, row_state<B>& state, B& factor) {
    const auto grown = top > state.max + simd::constant<B>(8);
    if (!simd::any(grown)) return false;
    const B max = simd::select(grown, top, state.max);
    factor = simd::exp2(B(state.max - max));
    state.sum = state.sum * factor;
    state.max = max;
    return true;
  }

 private:
  template <class B> static auto empty(const row_state<B>& state) {
    return state.max <= B(nothing<simd::value<B>>);
  }

  // Four chains hide the latency of max and of add.
  template <class Arch, class T>
  static simd::batch<T, Arch> largest(const T* s, index pitch, index keys) {
    using B = simd::batch<T, Arch>;
    B top[4] = {B(masked<T>), B(masked<T>), B(masked<T>), B(masked<T>)};
    index j = 0;
    for (; j + 4 <= keys; j += 4)
      HEED_UNROLL for (int i = 0; i < 4; ++i) top[i] =
          simd::max(top[i], simd::load<T, Arch>(s + (j + i) * pitch));
    for (; j < keys; ++j) top[0] = simd::max(top[0], simd::load<T, Arch>(s + j * pitch));
    return simd::max(B(simd::max(top[0], top[1])), B(simd::max(top[2], top[3])));
  }
  // s <- 2^(s · unit + shift) in place; returns the sum.
  template <class Arch, class T>
  static simd::batch<T, Arch> exponentials(T* s, index pitch, index keys, simd::batch<T, Arch> unit,
                                           simd::batch<T, Arch> shift) {
    using B = simd::batch<T, Arch>;
    B sum[4] = {B(T(0)), B(T(0)), B(T(0)), B(T(0))};
    index j = 0;
    for (; j + 4 <= keys; j += 4) HEED_UNROLL for (int i = 0; i < 4; ++i) {
        T* x = s + (j + i) * pitch;
        const B p = simd::exp2(B(simd::fma(simd::load<T, Arch>(x), unit, shift)));
        simd::store(x, p);
        sum[i] = sum[i] + p;
      }
    for (; j < keys; ++j) {
      T* x = s + j * pitch;
      const B p = simd::exp2(B(simd::fma(simd::load<T, Arch>(x), unit, shift)));
      simd::store(x, p);
      sum[0] = sum[0] + p;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
};

}  // namespace heed
