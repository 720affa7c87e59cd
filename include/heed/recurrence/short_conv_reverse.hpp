// SPDX-License-Identifier: BSL-1.0
// The short convolution, backward. With rows counted as in `short_conv_block` and e_t what reaches
// the sum of token t (d_out times SiLU' of the sum, computed again):
//
//   d row_i = Σ_j w_j e_{i-j},   dw_j = Σ_t e_t row_{t+j},   dbias = Σ_t e_t
//
// so the gradient of the rows is the same convolution with the weights turned round, and that of
// the state its first K - 1 rows. Sums over tokens are kept for some shares of the rows, cut by the
// shape alone and added in order.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/recurrence/short_conv_block.hpp>
#include <heed/simd/shape.hpp>

namespace heed {

// Where the gradients of a short convolution go; what is absent is not stored.
struct short_conv_gradients {
  result dx{};
  short_conv::gradient spec{};
};

namespace detail {

template <class T, class Arch> class short_conv_backward {
  using block_type = short_conv_block<T, Arch>;
  using B = simd::batch<T, Arch>;
  static constexpr index W = block_type::W, pitch = block_type::pitch, most = 32;

 public:
  // `initial` may be null: all zeros.
  short_conv_backward(const short_conv_problem& p, const recurrent_state<T>* initial,
                      const operand& d_out, recurrent_state<T>& d_state,
                      const short_conv_gradients& to)
      : p_(p), initial_(initial), d_out_(d_out), d_state_(d_state), to_(to) {
    index longest = 0;
    for (index i = 0; i < sequences_.count(); ++i)
      longest = std::max(longest, sequences_[i].length);
    cut_ = (longest + before_ + block_type::tokens - 1) / block_type::tokens;
    shares_ = std::clamp<index>(simd::most_units / std::max<index>(1, blocks_), 1,
                                std::max<index>(1, sequences_.count() * cut_));
  }

  void run(const executor_ref& executor, workspace& memory) {
    const index states = sequences_.count() * p_.heads() * before_ * p_.channels();
    memory.shared().reserve(static_cast<std::size_t>(
        aligned_bytes(shares_ * blocks_ * learned_, sizeof(T)) + aligned_bytes(states, sizeof(T))));
    sums_ = memory.shared().template take<T>(shares_ * blocks_ * learned_);
    first_ = memory.shared().template take<T>(states);
    memory.crew(executor.workers());
    executor.for_each(shares_ * blocks_, [&](index task, index worker) {
      one(task / blocks_, task % blocks_, memory.worker(worker));
    });
    if (states > 0) std::copy_n(first_, states, d_state_.head(0, 0));
    store(to_.spec.weight, before_ + 1, 0);
    store(to_.spec.bias, 1, p_.width());
  }

 private:
  struct scratch {
    T *rows, *e, *d, *turned, *zeros;
  };
  // [tap][channel], then the bias.
  T* sums(index share, index block) const { return sums_ + (share * blocks_ + block) * learned_; }

  void one(index share, index block, arena& from) const {
    block_type x(p_);
    from.reserve(
        static_cast<std::size_t>(x.bytes() + 2 * block_type::table_bytes(most + 2 * before_) +
                                 block_type::table_bytes(most) +
                                 block_type::table_bytes(p_.width()) + block_type::table_bytes(1)));
    x.take(from);
    scratch w;
    w.rows = from.take<T>((most + 2 * before_) * pitch);
    w.e = from.take<T>((most + 2 * before_) * pitch);
    w.d = from.take<T>(most * pitch);
    w.turned = from.take<T>(p_.width() * pitch);
    w.zeros = from.take<T>(pitch);
    x.begin(block_type::block(p_, block));
    for (index j = 0; j < p_.width(); ++j)
      std::copy_n(x.w + (before_ - j) * pitch, x.vectors, w.turned + j * pitch);
    std::fill_n(w.zeros, pitch, T(0));
    T* const sum = sums(share, block);
    std::fill_n(sum, learned_, T(0));
    const index units = sequences_.count() * cut_;
    for (index unit = units * share / shares_; unit < units * (share + 1) / shares_; ++unit) {
      const index id = unit / cut_, rows = sequences_[id].length + before_;
      const index first = unit % cut_ * block_type::tokens;
      for (index i = first; i < std::min(first + block_type::tokens, rows); i += most)
        piece(x, id, i, std::min({i + most, first + block_type::tokens, rows}), w, sum);
    }
  }

  // Rows [first, end) of a sequence, and what reaches the sums that they are part of.
  void piece(const block_type& x, index id, index first, index end, const scratch& w,
             T* sum) const {
    const token_run s = sequences_[id];
    const index token = std::max<index>(first - before_, 0), last = std::min(end, s.length);
    const index head = x.at.head, lead = first - before_;  // the token of w.e's first row
    std::fill_n(w.e, (end - lead) * pitch, T(0));
    if (token < last) {
      T* const e = w.e + (token - lead) * pitch;
      x.load(p_.x, s, initial_ && before_ > 0 ? initial_->head(id, head) : nullptr, token,
             last - token + before_, w.rows);
      if (p_.spec.silu) convolve<T, Arch, false>(x.filter(), w.rows, pitch, last - token, e, pitch);
      for (index t = token; t < last; ++t) reach(x, s, t, w.d, w.e + (t - lead) * pitch);
      const index own = std::max<index>(first, token);
      if (own < last)
        add(x, w.rows + (own - token) * pitch, w.e + (own - lead) * pitch, last - own, sum);
    }
    const conv_taps<T, Arch> turned{w.turned, w.zeros, pitch, p_.width(), x.vectors};
    convolve<T, Arch, false>(turned, w.e, pitch, end - first, w.d, pitch);
    for (index i = first; i < end; ++i) {
      T* const d = w.d + (i - first) * pitch;
      if (i >= s.length) {
        const T* const from = d_state_.head(id, head) + (i - s.length) * p_.channels() + x.at.first;
        for (index c = 0; c < x.at.count; ++c) d[c] += from[c];
      }
      if (i < before_)
        std::copy_n(d, x.at.count,
                    first_ + ((id * p_.heads() + head) * before_ + i) * p_.channels() + x.at.first);
      else if (to_.dx.present())
        simd::store_row(to_.dx.type, d, x.at.count,
                        x.channels_of(to_.dx, s.b, head, s.first + i - before_), to_.dx.stride[3]);
    }
  }

  // e holds the sum, where SiLU asks for it, and becomes what reaches it.
  void reach(const block_type& x, const token_run& s, index t, T* row, T* e) const {
    simd::load_row(d_out_.type, x.channels_of(d_out_, s.b, x.at.head, s.first + t),
                   d_out_.stride[3], x.at.count, row);
    x.pad(row, x.at.count);
    if (t + most < s.length) {  // of the next piece
      x.ask(d_out_, s, t + most);
      x.ask(p_.x, s, t + most);
      x.ask(to_.dx, s, t + most);
    }
    for (index c = 0; c < x.vectors; c += W) {
      const B d = simd::load<T, Arch>(row + c);
      simd::store(e + c, p_.spec.silu ? B(d * simd::silu_slope(simd::load<T, Arch>(e + c))) : d);
    }
  }

  // dw_j += Σ_t e_t row_{t+j}, dbias += Σ_t e_t
  void add(const block_type& x, const T* rows, const T* e, index count, T* sum) const {
    const index width = p_.width();
    for (index c = 0; c < x.vectors; c += W) {
      index j = 0;
      for (; j + 4 <= width; j += 4)
        add_taps<4>(rows + j * pitch + c, e + c, count, sum + j * pitch + c);
      for (; j < width; ++j) add_taps<1>(rows + j * pitch + c, e + c, count, sum + j * pitch + c);
      B all = simd::load<T, Arch>(sum + width * pitch + c);
      for (index t = 0; t < count; ++t) all = all + simd::load<T, Arch>(e + t * pitch + c);
      simd::store(sum + width * pitch + c, all);
    }
  }
  template <int R> static void add_taps(const T* rows, const T* e, index count, T* sum) {
    B s[R];
    HEED_UNROLL for (int r = 0; r < R; ++r) s[r] = simd::load<T, Arch>(sum + r * pitch);
    for (index t = 0; t < count; ++t) {
      const B reached = simd::load<T, Arch>(e + t * pitch);
      HEED_UNROLL for (int r = 0; r < R; ++r) s[r] =
          simd::fma(reached, simd::load<T, Arch>(rows + (t + r) * pitch), s[r]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r) simd::store(sum + r * pitch, s[r]);
  }

  // `rows` of the sums from `row` on, all shares and, where heads share the table, heads added.
  void store(const result& to, index rows, index row) const {
    if (!to.present()) return;
    const bool bias = row == p_.width();
    const index heads = to.extent[1], each = block_type::blocks(p_);
    for (index h = 0; h < heads; ++h)
      for (index c = 0; c < p_.channels(); ++c) {
        for (index j = row; j < row + rows; ++j) {
          T total(0);
          for (index g = h; g < p_.heads(); g += heads)
            for (index i = 0; i < shares_; ++i)
              total += sums(
                  i, g * each + c / block_type::channels)[j * pitch + c % block_type::channels];
          void* const at = static_cast<unsigned char*>(to.row(0, h, bias ? 0 : c)) +
                           (bias ? c : j) * to.stride[3] * size_of(to.type);
          simd::store_row(to.type, &total, 1, at, 1);
        }
      }
  }

  const short_conv_problem& p_;
  const recurrent_state<T>* initial_;
  const operand& d_out_;
  recurrent_state<T>& d_state_;
  const short_conv_gradients& to_;
  sequence_list sequences_ = p_.sequences();
  index before_ = p_.width() - 1, blocks_ = p_.heads() * block_type::blocks(p_);
  index learned_ = (p_.width() + 1) * pitch, cut_ = 0, shares_ = 0;
  T *sums_ = nullptr, *first_ = nullptr;
};

}  // namespace detail

}  // namespace heed
