// SPDX-License-Identifier: BSL-1.0
// One row for the rows of each block of a tensor: what selectors of blocks score.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/storage.hpp>
#include <heed/simd/pack.hpp>
#include <limits>
#include <vector>

namespace heed {

// mean, max: a channel at a time. antidiagonal: the mean of q_i·k_j over the pairs of a block of
// queries and a block of keys with i + j = stride - 1 modulo the stride, counted from the first of
// each; the summary of queries is a sum for each remainder, that of keys the same in reverse.
enum class block_summary { mean, max, antidiagonal };

namespace detail {

struct summary_shape {
  block_summary kind = block_summary::mean;
  index size = 1;         // rows of a block
  index stride = 1;       // of antidiagonals
  bool reversed = false;  // remainders from the last to the first
};

// [B,H,blocks,C] of a tensor [B,H,L,D]; the last block may be shorter.
template <class T> struct block_summaries {
  index batch = 0, heads = 0, blocks = 0, channels = 0;
  std::vector<T> rows;

  template <class Arch>
  block_summaries(const operand& x, const summary_shape& how, const executor_ref& executor, Arch)
      : batch(x.extent[0]), heads(x.extent[1]), blocks(block_count(x.extent[2], how.size)) {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const bool parted = how.kind == block_summary::antidiagonal,
               largest = how.kind == block_summary::max;
    const index depth = x.extent[3], parts = parted ? how.stride : 1;
    channels = depth * parts;
    rows.assign(static_cast<std::size_t>(batch * heads * blocks * channels),
                largest ? -std::numeric_limits<T>::infinity() : T(0));
    std::vector<T> memory(static_cast<std::size_t>(executor.workers() * depth));
    executor.for_each(batch * heads * blocks, [&](index i, index worker) {
      const index head = i / blocks, first = i % blocks * how.size,
                  last = first + std::min(how.size, x.extent[2] - first);
      T* const all = rows.data() + i * channels;
      T* const staged = memory.data() + worker * depth;
      for (index j = first; j < last; ++j) {
        const void* const stored = x.row(head / heads, head % heads, j);
        const T* row = static_cast<const T*>(stored);
        if (!simd::stored_as<T>(x)) {
          simd::load_row(x.type, stored, x.stride[3], depth, staged);
          row = staged;
        }
        const index part = (j - first) % parts;
        T* const to = all + (how.reversed ? parts - 1 - part : part) * depth;
        index c = 0;
        for (; c + W <= depth; c += W) {
          const B a = simd::load<T, Arch>(to + c), b = simd::load<T, Arch>(row + c);
          simd::store(to + c, B(largest ? simd::select(b > a, b, a) : B(a + b)));
        }
        for (; c < depth; ++c) to[c] = largest ? (row[c] > to[c] ? row[c] : to[c]) : to[c] + row[c];
      }
      const T share = parted || largest ? T(1) : T(1) / static_cast<T>(last - first);
      if (share != T(1))
        for (index c = 0; c < channels; ++c) all[c] *= share;
    });
  }

  const T* of_head(index b, index h) const {
    return rows.data() + (b * heads + h) * blocks * channels;
  }
  operand all() const { return view<const T>(rows.data(), {batch, heads, blocks, channels}); }
};

}  // namespace detail

}  // namespace heed
