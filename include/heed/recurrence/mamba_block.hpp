// SPDX-License-Identifier: BSL-1.0
// Some channels of a selective scan as the kernels read them, whatever their layout and type: rows
// of a few tokens and tables of numbers a state, zeros up to whole vectors of channels.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/workspace.hpp>
#include <heed/recurrence/mamba_kernels.hpp>
#include <heed/recurrence/mamba_problem.hpp>
#include <heed/recurrence/turned.hpp>

namespace heed::detail {

// f(first state, integral constant R) over all states, four by four.
template <class F> void for_states(index states, F f) {
  index n = 0;
  for (; n + 4 <= states; n += 4) f(n, std::integral_constant<int, 4>{});
  for (; n < states; ++n) f(n, std::integral_constant<int, 1>{});
}

template <class T, class Arch, index Channels> class selective_block {
 public:
  static constexpr index W = simd::width<T, Arch>;
  // A vector more than there are channels: rows a power of two apart would share cache sets.
  static constexpr index pitch = Channels + W;
  // Tokens at once: four states of a vector of channels, and what they need, stay in L1.
  static constexpr index most = 32;
  using B = simd::batch<T, Arch>;

  explicit selective_block(const selective_problem& p) : p_(p), states_(p.states()) {}

  static constexpr index row_bytes() { return aligned_bytes(most * pitch, sizeof(T)); }
  index table_bytes() const { return aligned_bytes(states_ * pitch, sizeof(T)); }
  index bytes() const {
    return 2 * row_bytes() + 2 * table_bytes() + 2 * aligned_bytes(pitch, sizeof(T)) +
           2 * aligned_bytes(most * states_, sizeof(T));
  }
  void take(arena& from) {
    delta = take_rows(from), input = take_rows(from);
    a = take_table(from), turned_ = take_table(from);
    d = from.take<T>(pitch), bias_ = from.take<T>(pitch);
    b = from.take<T>(most * states_), c = from.take<T>(most * states_);
  }
  static T* take_rows(arena& from) { return from.take<T>(most * pitch); }
  T* take_table(arena& from) const { return from.take<T>(states_ * pitch); }

  void begin(const channel_block& which) {
    block = which;
    vectors = (block.count + W - 1) / W;
    load_turned<T, Arch>(p_.spec.a, 0, block.first, block.count, T(simd::log2e), turned_, a, pitch);
    // Finite: 0 tokens of an infinite decay forget nothing, and 0 · a is a gradient.
    for (index n = 0; n < states_; ++n)
      for (index v = 0; v < vectors * W; v += W) {
        T* const x = a + n * pitch + v;
        simd::store(x, simd::max(B(std::numeric_limits<T>::lowest()), simd::load<T, Arch>(x)));
      }
    load_channels(p_.spec.d, 0, 0, d);
    load_channels(p_.spec.delta_bias, 0, 0, bias_);
  }

  // Tables of the caller: [channel][state] to [state][channel] and back.
  void load_table(const T* from, T factor, T* to) const {
    simd::to_lanes<T, Arch>(from, states_, block.count, states_, factor, to, pitch);
  }
  void store_table(const T* from, T* to) const {
    simd::transpose<T, Arch>(from, pitch, states_, block.count, T(1), to, states_);
  }
  void load_state(const T* head, T* to) const {
    if (head)
      load_table(head + block.first * states_, T(1), to);
    else
      std::fill_n(to, states_ * pitch, T(0));
  }

  // Rows [token][channel] of u, delta or what is like them.
  void load_rows(const operand& x, const token_run& s, index first, index count, T* to) const {
    for (index t = 0; t < count; ++t) load_channels(x, s.b, s.row(first + t), to + t * pitch);
  }
  void store_rows(const T* from, const token_run& s, index first, index count,
                  const result& x) const {
    for (index t = 0; t < count; ++t)
      simd::store_row(x.type, from + t * pitch, block.count, channels_of(x, s.b, s.row(first + t)),
                      x.stride[3]);
  }
  void store_channels(const T* from, const result& x) const {
    if (x.present()) simd::store_row(x.type, from, block.count, channels_of(x, 0, 0), x.stride[3]);
  }
  // Fills delta, input, b, c for `count` tokens. `u` has rows of u; `raw` gets δ + bias, and may be
  // delta itself.
  void load(const token_run& s, index first, index count, const T* u, T* raw) {
    tokens = count;
    load_rows(p_.delta, s, first, count, raw);
    const bool soft = p_.spec.softplus;
    for_vectors([&](index at, index v) {
      const B x = simd::load<T, Arch>(raw + at) + simd::load<T, Arch>(bias_ + v);
      const B step = soft ? simd::softplus(x) : x;
      simd::store(raw + at, x);
      simd::store(delta + at, step);
      simd::store(input + at, B(step * simd::load<T, Arch>(u + at)));
    });
    for (index t = 0; t < count; ++t) {
      const index row = s.row(first + t);
      simd::load_row(p_.b.type, p_.b.row(s.b, block.group, row), p_.b.stride[3], states_,
                     b + t * states_);
      simd::load_row(p_.c.type, p_.c.row(s.b, block.group, row), p_.c.stride[3], states_,
                     c + t * states_);
    }
  }
  // f(place, channel) for every vector of the rows loaded.
  template <class F> HEED_INLINE void for_vectors(F f) const {
    for (index t = 0; t < tokens; ++t)
      for (index v = 0; v < vectors * W; v += W) f(t * pitch + v, v);
  }
  selective_tile<T> tile(index v, index n) const {
    return {tokens, pitch, states_, delta + v, input + v, b + n, c + n};
  }
  // Rows to be asked for while the kernels run: rows of some channels lie apart, where no
  // prefetcher finds them. Of `all` pieces of work, `piece` is about to start.
  void expect(std::initializer_list<operand> operands, const token_run& s, index first,
              index count) {
    wanted_ = {s, std::max<index>(first, 0), std::min(first + count, s.length)};
    asked_ = 0;
    for (const operand& x : operands)
      if (x.present() && x.stride[3] == 1) ask_[asked_++] = x;
  }
  void ask(index piece, index all) const {
    const index rows = wanted_.end - wanted_.first;
    for (index t = rows * piece / all; t < rows * (piece + 1) / all; ++t)
      for (int i = 0; i < asked_; ++i)
        simd::prefetch(channels_of(ask_[i], wanted_.run.b, wanted_.run.row(wanted_.first + t)),
                       block.count * size_of(ask_[i].type));
  }
  index pieces() const { return vectors * (states_ / 4 + states_ % 4); }

  // All loaded tokens of all channels: h moves on, y (if any) is added to.
  template <bool Out> void advance(T* h, T* y = nullptr) const {
    index piece = 0;
    for (index v = 0; v < vectors * W; v += W)
      for_states(states_, [&]<int R>(index n, std::integral_constant<int, R>) {
        ask(piece++, pieces());
        const index at = n * pitch + v;
        selective_advance<T, Arch, R, Out>(tile(v, n), a + at, h + at, Out ? y + v : nullptr);
      });
  }

  channel_block block;
  index vectors = 0, tokens = 0;
  T *delta = nullptr, *input = nullptr;  // Δ, Δ u
  T *a = nullptr, *d = nullptr;          // A log2 e, D
  T *b = nullptr, *c = nullptr;

 private:
  template <class Void>
  Void* channels_of(const basic_operand<Void>& x, index batch, index row) const {
    return static_cast<typename basic_operand<Void>::byte*>(x.row(batch, 0, row)) +
           block.first * x.stride[3] * size_of(x.type);
  }
  void load_channels(const operand& x, index batch, index row, T* to) const {
    if (x.present())
      simd::load_row(x.type, channels_of(x, batch, row), x.stride[3], block.count, to);
    std::fill(x.present() ? to + block.count : to, to + vectors * W, T(0));
  }

  const selective_problem& p_;
  index states_;
  T *turned_ = nullptr, *bias_ = nullptr;
  struct {
    token_run run;
    index first = 0, end = 0;
  } wanted_;
  operand ask_[6];
  int asked_ = 0;
};

}  // namespace heed::detail
