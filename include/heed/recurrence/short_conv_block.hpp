// SPDX-License-Identifier: BSL-1.0
// Some channels of one head of a short convolution as its loops read them, whatever their layout
// and type. Rows count from the start of the state: row i < K - 1 is one of the state, the others
// are inputs, so that y_t sums over the rows t … t + K - 1.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/workspace.hpp>
#include <heed/recurrence/short_conv_problem.hpp>
#include <heed/recurrence/turned.hpp>
#include <heed/simd/softplus.hpp>

namespace heed::detail {

// y_t = bias + Σ_j w_j x_{t+j} for some consecutive rows; w [tap][channel] with `pitch`, whole
// vectors of channels. Four tokens share each load of a weight.
template <class T, class Arch> struct conv_taps {
  const T *w, *bias;
  index pitch, width, channels;
};
template <class T, class Arch, bool Silu, int R>
HEED_INLINE void convolve_rows(const conv_taps<T, Arch>& f, const T* x, index stride, T* y,
                               index y_stride) {
  using B = simd::batch<T, Arch>;
  for (index c = 0; c < f.channels; c += simd::width<T, Arch>) {
    B sum[R];
    HEED_UNROLL for (int r = 0; r < R; ++r) sum[r] = simd::load<T, Arch>(f.bias + c);
    for (index j = 0; j < f.width; ++j) {
      const B weight = simd::load<T, Arch>(f.w + j * f.pitch + c);
      HEED_UNROLL for (int r = 0; r < R; ++r) sum[r] =
          simd::fma(weight, simd::load<T, Arch>(x + (r + j) * stride + c), sum[r]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r)
        simd::store(y + r * y_stride + c, Silu ? simd::silu(sum[r]) : sum[r]);
  }
}
// Rows that lie in place are asked for this many tokens early: some channels of many lie apart,
// where no prefetcher finds the next row.
struct conv_ahead {
  index x = 0, y = 0;  // 0: not in place
};
template <class T, class Arch, bool Silu>
HEED_NOINLINE void convolve(const conv_taps<T, Arch>& f, const T* x, index stride, index count,
                            T* y, index y_stride, conv_ahead ahead = {}) {
  const index bytes = f.channels * index(sizeof(T));
  const auto ask = [&](const T* rows, index step, index first) {
    if (first > 0)
      for (index i = first; i < first + 4; ++i) simd::prefetch(rows + i * step, bytes);
  };
  index t = 0;
  for (; t + 4 <= count; t += 4, x += 4 * stride, y += 4 * y_stride) {
    ask(x, stride, ahead.x), ask(y, y_stride, ahead.y);
    convolve_rows<T, Arch, Silu, 4>(f, x, stride, y, y_stride);
  }
  for (; t < count; ++t, x += stride, y += y_stride)
    convolve_rows<T, Arch, Silu, 1>(f, x, stride, y, y_stride);
}

template <class T, class Arch> class short_conv_block {
 public:
  static constexpr index W = simd::width<T, Arch>;
  // A power of two more a vector: rows would share cache sets.
  static constexpr index channels = 128, pitch = channels + W;
  // Tokens of a piece of work. What a sequence is cut into changes no bit: each y is one sum.
  static constexpr index tokens = 256;
  using B = simd::batch<T, Arch>;

  struct place {
    index head = 0, first = 0, count = 0;  // channels
  };
  static index blocks(const short_conv_problem& p) {
    return (p.channels() + channels - 1) / channels;
  }
  static place block(const short_conv_problem& p, index i) {
    const index each = blocks(p), first = i % each * channels;
    return {i / each, first, std::min(channels, p.channels() - first)};
  }
  static index table_bytes(index rows) { return aligned_bytes(rows * pitch, sizeof(T)); }

  explicit short_conv_block(const short_conv_problem& p) : p_(p) {}

  index bytes() const { return 2 * table_bytes(p_.width()) + table_bytes(1); }
  void take(arena& from) {
    w = from.take<T>(p_.width() * pitch), turned_ = from.take<T>(p_.width() * pitch);
    bias = from.take<T>(pitch);
  }
  void begin(const place& which) {
    at = which;
    vectors = (at.count + W - 1) / W * W;
    const operand& weight = p_.spec.weight;
    const index head = weight.extent[1] == 1 ? 0 : at.head;
    load_turned<T, Arch>(weight, head, at.first, at.count, T(1), turned_, w, pitch);
    const operand& b = p_.spec.bias;
    if (b.present())
      simd::load_row(b.type, channels_of(b, 0, b.extent[1] == 1 ? 0 : at.head, 0), b.stride[3],
                     at.count, bias);
    pad(bias, b.present() ? at.count : 0);
  }

  // Rows [first, first + count) of a sequence, the state's before its inputs; a null state is
  // zeros.
  void load(const operand& x, const token_run& s, const T* state, index first, index count,
            T* to) const {
    const index before = p_.width() - 1;
    for (index i = 0; i < count; ++i, to += pitch) {
      const index row = first + i;
      if (row >= before) {
        simd::load_row(x.type, channels_of(x, s.b, at.head, s.first + row - before), x.stride[3],
                       at.count, to);
        pad(to, at.count);
      } else if (state) {
        std::copy_n(state + row * p_.channels() + at.first, at.count, to);
        pad(to, at.count);
      } else {
        pad(to, 0);
      }
    }
  }
  // A token's row will be needed.
  void ask(const operand& x, const token_run& s, index t) const {
    if (x.present() && x.stride[3] == 1)
      simd::prefetch(channels_of(x, s.b, at.head, s.first + t), at.count * size_of(x.type));
  }
  conv_taps<T, Arch> filter() const { return {w, bias, pitch, p_.width(), vectors}; }
  void pad(T* row, index from) const { std::fill(row + from, row + vectors, T(0)); }

  template <class Void>
  Void* channels_of(const basic_operand<Void>& x, index b, index h, index l) const {
    return static_cast<typename basic_operand<Void>::byte*>(x.row(b, h, l)) +
           at.first * x.stride[3] * size_of(x.type);
  }

  place at;
  index vectors = 0;                // channels, whole vectors of them
  T *w = nullptr, *bias = nullptr;  // [tap][channel], [channel]

 private:
  const short_conv_problem& p_;
  T* turned_ = nullptr;
};

}  // namespace heed::detail
