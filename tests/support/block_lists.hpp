// SPDX-License-Identifier: BSL-1.0
// Lists of blocks of tests.
#pragma once

#include <heed/plan/block_lists.hpp>

#include "support/masks.hpp"

namespace heed::test {

struct listing {
  index batch, heads, group, rows, keys;
};

// Each block is on a list with a chance of `percent`; some lists are empty.
inline block_selection random_lists(const listing& x, index queries, index keys, index percent,
                                    unsigned seed) {
  block_selection made{
      .batch = x.batch, .heads = x.heads, .group = x.group, .rows = x.rows, .keys = x.keys};
  numbers random(seed);
  const index lists = x.batch * x.heads * ((queries + x.rows - 1) / x.rows);
  for (index i = 0; i < lists; ++i) {
    const bool empty = random.below(8) == 0 && percent < 100;
    for (index block = 0; block * x.keys < keys; ++block)
      if (!empty && random.below(100) < percent) made.blocks.push_back(static_cast<int>(block));
    made.offsets.push_back(static_cast<index>(made.blocks.size()));
  }
  return made;
}

// check_result where heads see different pairs: truth(b, h).
template <class Result, class Truth>
void check_result_of_heads(const Result& x, const tensor<>& q, const tensor<>& k, const tensor<>& v,
                           Truth truth) {
  const index heads = q.extent[1], group = heads / std::max<index>(1, k.extent[1]);
  const auto one = [](const tensor<>& all, index b, index h) {
    tensor<> part({1, 1, all.extent[2], all.extent[3]}, 0.f);
    for (index i = 0; i < all.extent[2]; ++i)
      for (index c = 0; c < all.extent[3]; ++c) part.in()(0, 0, i, c) = all.in()(b, h, i, c);
    return part;
  };
  struct piece {
    tensor<> out, lse;
  };
  for (index b = 0; b < q.extent[0]; ++b)
    for (index h = 0; h < heads; ++h)
      check_result(piece{one(x.out, b, h), one(x.lse, b, h)}, one(q, b, h), one(k, b, h / group),
                   one(v, b, h / group), [&](index) { return truth(b, h); });
}

}  // namespace heed::test
