// SPDX-License-Identifier: BSL-1.0
// Means of the rows of each block of a tensor: the cheap summaries of keys that selectors score.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/storage.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/pack.hpp>
#include <vector>

namespace heed::detail {

// Means of rows [b,h,i] of every `size` rows, [B,H,blocks,D]; the last block may be shorter.
template <class T> struct block_means {
  index blocks = 0, heads = 0, depth = 0;
  std::vector<T> mean;

  template <class Arch>
  static block_means of(const operand& x, index size, const executor_ref& executor, Arch) {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const index depth = x.extent[3];
    block_means to{(x.extent[2] + size - 1) / size, x.extent[1], depth, {}};
    to.mean.resize(static_cast<std::size_t>(x.extent[0] * to.heads * to.blocks * depth));
    std::vector<T> rows(static_cast<std::size_t>(executor.workers() * depth));
    executor.for_each(x.extent[0] * to.heads * to.blocks, [&](index i, index worker) {
      const index head = i / to.blocks, first = i % to.blocks * size,
                  last = std::min(first + size, x.extent[2]);
      T* const sum = to.mean.data() + i * depth;
      T* const staged = rows.data() + worker * depth;
      std::fill_n(sum, depth, T(0));
      for (index j = first; j < last; ++j) {
        const void* const stored = x.row(head / to.heads, head % to.heads, j);
        const T* row = static_cast<const T*>(stored);
        if (!simd::stored_as<T>(x)) {
          simd::load_row(x.type, stored, x.stride[3], depth, staged);
          row = staged;
        }
        index c = 0;
        for (; c + W <= depth; c += W)
          simd::store(sum + c, B(simd::load<T, Arch>(sum + c) + simd::load<T, Arch>(row + c)));
        for (; c < depth; ++c) sum[c] += row[c];
      }
      const T share = T(1) / static_cast<T>(last - first);
      for (index c = 0; c < depth; ++c) sum[c] *= share;
    });
    return to;
  }
  const T* of_head(index b, index h) const {
    return mean.data() + (b * heads + h) * blocks * depth;
  }
};

}  // namespace heed::detail
