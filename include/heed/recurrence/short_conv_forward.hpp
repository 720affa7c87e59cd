// SPDX-License-Identifier: BSL-1.0
// The short convolution, forward: lanes are channels, a task is 128 channels of 256 tokens of one
// sequence. Rows that lie as the loops want them are read and written in place, others pass through
// scratch, 32 tokens at a time.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/recurrence/short_conv_block.hpp>

namespace heed::detail {

template <class T, class Arch> class short_conv_forward {
  using block_type = short_conv_block<T, Arch>;
  static constexpr index pitch = block_type::pitch, most = 32;

 public:
  short_conv_forward(const short_conv_problem& p, const result& out, recurrent_state<T>& state)
      : p_(p), out_(out), state_(state), sequences_(p.sequences()) {
    for (index i = 0; i < sequences_.count(); ++i)
      longest_ = std::max(longest_, sequences_[i].length);
  }

  void run(const executor_ref& executor, workspace& memory) {
    const index cut = (longest_ + block_type::tokens - 1) / block_type::tokens;
    const index blocks = p_.heads() * block_type::blocks(p_), each = blocks * cut;
    memory.crew(executor.workers());
    executor.for_each(sequences_.count() * each, [&](index task, index worker) {
      one(task / each, task % each / blocks * block_type::tokens,
          block_type::block(p_, task % blocks), memory.worker(worker));
    });
    for (index i = 0; i < sequences_.count(); ++i) move_on(i);
  }

 private:
  static bool plain(const operand& x) { return x.type == element_of<T>::value && x.stride[3] == 1; }

  void one(index id, index first, const typename block_type::place& at, arena& from) const {
    const token_run s = sequences_[id];
    const index end = std::min(first + block_type::tokens, s.length), before = p_.width() - 1;
    if (first >= end) return;
    block_type x(p_);
    from.reserve(static_cast<std::size_t>(x.bytes() + block_type::table_bytes(most) +
                                          block_type::table_bytes(most + before)));
    x.take(from);
    T* const y = from.take<T>(most * pitch);
    T* const rows = from.take<T>((most + before) * pitch);
    x.begin(at);
    // Whole vectors only: what lies beyond the channels is not the call's.
    const bool whole = x.vectors == at.count;
    const bool read = whole && plain(p_.x), write = whole && plain(out_);
    const T* const state = before > 0 ? state_.head(id, at.head) : nullptr;
    for (index t = first; t < end; t += most) {
      const index count = std::min(most, end - t);
      const T* in = rows;
      index stride = pitch;
      if (read && t >= before)
        in = static_cast<const T*>(x.channels_of(p_.x, s.b, at.head, s.first + t - before)),
        stride = p_.x.stride[2];
      else
        x.load(p_.x, s, state, t, count + before, rows);
      T* to = y;
      index to_stride = pitch;
      if (write)
        to = static_cast<T*>(x.channels_of(out_, s.b, at.head, s.first + t)),
        to_stride = out_.stride[2];
      const auto run = p_.spec.silu ? &convolve<T, Arch, true> : &convolve<T, Arch, false>;
      const conv_ahead ahead{in == rows ? 0 : most, write ? most : 0};
      run(x.filter(), in, stride, count, to, to_stride, ahead);
      for (index i = 0; !write && i < count; ++i)
        simd::store_row(out_.type, y + i * pitch, at.count,
                        x.channels_of(out_, s.b, at.head, s.first + t + i), out_.stride[3]);
    }
  }

  // The last inputs become the state; of a short sequence only some of them are new.
  void move_on(index id) {
    const token_run s = sequences_[id];
    const index rows = p_.width() - 1, channels = p_.channels();
    const index kept = std::max<index>(rows - s.length, 0);
    for (index h = 0; h < p_.heads(); ++h) {
      T* const to = state_.head(id, h);
      std::copy_n(to + (rows - kept) * channels, kept * channels, to);
      for (index i = kept; i < rows; ++i)
        simd::load_row(p_.x.type, p_.x.row(s.b, h, s.first + s.length - rows + i), p_.x.stride[3],
                       channels, to + i * channels);
    }
    state_.tokens(id) += s.length;
  }

  const short_conv_problem& p_;
  const result& out_;
  recurrent_state<T>& state_;
  sequence_list sequences_;
  index longest_ = 0;
};

}  // namespace heed::detail
