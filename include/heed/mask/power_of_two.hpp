// SPDX-License-Identifier: BSL-1.0
// mask/power_of_two: blocks at distances that are powers of two, a window of blocks and the first
// ones. With δ = ⌊q/block⌋ - ⌊k/block⌋:
//   k <= q and (δ = 0 or δ = 2^p or δ < window or ⌊k/block⌋ < sinks)
//
//   block 2, window 1, no sinks    power_of_two::tokens()    block 1, window 3, 1 sink
//   x.........                     x........                 x........
//   xx........                     xx.......                 xx.......
//   xxx.......                     xxx......                 xxx......
//   xxxx......                     .xxx.....                 xxxx.....
//   xxxxx.....                     x.xxx....                 x.xxx....
//   xxxxxx....                     .x.xxx...                 xx.xxx...
//   ..xxxxx...                     ..x.xxx..                 x.x.xxx..
//   ..xxxxxx..                     ...x.xxx.                 x..x.xxx.
//   xx..xxxxx.                     x...x.xxx                 x...x.xxx
//   xx..xxxxxx
//
// PowerAttention (Chen et al. 2025): every token is reached in log2 of the number of blocks layers.
// `tokens()` is the form q - k = 2^p with the token itself, without which the first row would be
// empty. About log2 (blocks) spans a row; where panels keep fewer, block_map skips what lies
// between them. Throws if block < 1, window < 0 or sinks < 0.
#pragma once

#include <bit>
#include <heed/core/check.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/concept.hpp>
#include <heed/mask/joined.hpp>
#include <limits>

namespace heed {

struct power_of_two {
  index block = 256;
  index window = 5;  // blocks, the own one included
  index sinks = 1;   // blocks

  static constexpr power_of_two tokens() { return {1, 1, 0}; }

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const index of = detail::floor_divided(at.k, block),
                behind = detail::floor_divided(at.q, block) - of;
    return at.k <= at.q && ((behind & (behind - 1)) == 0 || behind < window || of < sinks);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (at.q < 0) return;
    const index own = at.q / block, past = std::min(at.q + 1, keys);
    detail::joined out(past, emit);
    out.add({0, reach(sinks)});
    for (auto step = std::bit_floor(static_cast<std::size_t>(own));
         step >= 2 && static_cast<index>(step) >= window; step /= 2) {
      const index of = own - static_cast<index>(step);
      out.add({of * block, (of + 1) * block});
    }
    out.add({std::max<index>(0, own - std::max<index>(window - 1, 1)) * block, past});
    out.flush();
  }
  void check(const problem_shape&) const {
    detail::check_chunk_size("heed::power_of_two", block);
    if (window < 0 || sinks < 0)
      check::fail("heed::power_of_two",
                  "window and sinks must not be negative: window = " + std::to_string(window) +
                      ", sinks = " + std::to_string(sinks));
  }

 private:
  // Where `blocks` blocks end, for any number of them.
  constexpr index reach(index blocks) const {
    return blocks > std::numeric_limits<index>::max() / block ? std::numeric_limits<index>::max()
                                                              : blocks * block;
  }
};

}  // namespace heed
