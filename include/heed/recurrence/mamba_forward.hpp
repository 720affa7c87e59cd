// SPDX-License-Identifier: BSL-1.0
// The selective scan, forward. Lanes are channels; a task is a block of channels of one sequence,
// so no sum is shared and the bits depend neither on the threads nor on where a sequence is split.
//
//   for each 32 tokens    Δ, Δ u, B and C in scratch; y = D u
//     for each vector     of channels
//       four states       in registers over the tokens: h, then y += C h
//     y ⊙ SiLU(z), stored
//
// The exponentials are what costs: L · C · N of them.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/recurrence/mamba_block.hpp>

namespace heed::detail {

template <class T, class Arch> class selective_forward {
  static constexpr index channels = 64;
  using block_type = selective_block<T, Arch, channels>;
  using B = simd::batch<T, Arch>;

 public:
  selective_forward(const selective_problem& p, const result& out, recurrent_state<T>& state)
      : p_(p), out_(out), state_(state) {}

  void run(const executor_ref& executor, workspace& memory) {
    const channel_blocks blocks{p_.channels(), p_.groups(), channels};
    const sequence_list sequences = p_.sequences();
    const index count = blocks.count();
    memory.crew(executor.workers());
    executor.for_each(count * sequences.count(), [&](index task, index worker) {
      one(sequences[task / count], task / count, blocks[task % count], memory.worker(worker));
    });
    for (index i = 0; i < sequences.count(); ++i) state_.tokens(i) += sequences[i].length;
  }

 private:
  void one(const token_run& s, index id, const channel_block& which, arena& from) const {
    block_type x(p_);
    from.reserve(static_cast<std::size_t>(x.bytes() + x.table_bytes() + block_type::row_bytes()));
    x.take(from);
    T* const h = x.take_table(from);
    T* const y = block_type::take_rows(from);
    x.begin(which);
    x.load_state(state_.head(id, 0), h);
    for (index first = 0; first < s.length; first += block_type::most) {
      const index count = std::min(block_type::most, s.length - first);
      x.load_rows(p_.u, s, first, count, y);
      x.load(s, first, count, y, x.delta);
      x.for_vectors([&](index at, index v) {
        simd::store(y + at, B(simd::load<T, Arch>(y + at) * simd::load<T, Arch>(x.d + v)));
      });
      x.expect({p_.u, p_.delta, out_, p_.spec.gate}, s, first + count, block_type::most);
      x.template advance<true>(h, y);
      if (p_.spec.gate.present()) {
        x.load_rows(p_.spec.gate, s, first, count, x.input);
        x.for_vectors([&](index at, index) {
          const B z = simd::load<T, Arch>(x.input + at);
          simd::store(y + at, B(simd::load<T, Arch>(y + at) * simd::silu(z)));
        });
      }
      x.store_rows(y, s, first, count, out_);
    }
    x.store_table(h, state_.head(id, 0) + which.first * p_.states());
  }

  const selective_problem& p_;
  const result& out_;
  recurrent_state<T>& state_;
};

}  // namespace heed::detail
