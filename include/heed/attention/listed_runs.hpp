// SPDX-License-Identifier: BSL-1.0
// Listed blocks as runs of keys of one sequence.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/mask/blocks.hpp>

namespace heed::detail {

// f(keys, cover) for what a block of rows sees, blocks that touch and are alike joined.
template <class Lists, class F>
void listed_runs(const Lists& lists, const sequence& s, index h, index row_block, F f) {
  span run{};
  cover of = cover::none;
  const auto flush = [&] {
    if (const span keys = s.within(run); !keys.empty()) f(keys, of);
  };
  const index size = lists.block_keys();
  lists.key_blocks(s.b, h, row_block, [&](index block, cover inside) {
    const span next{block * size, (block + 1) * size};
    if (inside == of && next.begin == run.end) {
      run.end = next.end;
      return;
    }
    flush();
    run = next, of = inside;
  });
  flush();
}

}  // namespace heed::detail
