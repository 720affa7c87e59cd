// SPDX-License-Identifier: BSL-1.0
// Masks that differ by head, one head at a time.
#pragma once

#include "support/block_lists.hpp"

namespace heed::test {

// The mask of one head, for what asks about head 0.
template <class M> struct head_of {
  M m;
  index h = 0;

  static constexpr bool exact = exact_mask<M>();
  bool is_exact() const { return heed::is_exact(m); }
  bool operator()(position at) const {
    at.h = h;
    return m(at);
  }
  template <class At>
  auto vector(At at) const
    requires requires { m.vector(at); }
  {
    at.h = h;
    return m.vector(at);
  }
  template <class F> void intervals(position at, index keys, F emit) const {
    at.h = h;
    heed::intervals(m, at, keys, emit);
  }
  cover covers(block x) const {
    x.h = h;
    return detail::known(m, x);
  }
};

// check_mask with truth(b, h) over four heads.
template <class M, class Truth>
void check_heads(const M& m, index batch, index queries, index keys, Truth truth) {
  for (index b = 0; b < batch; ++b)
    for (index h = 0; h < 4; ++h) {
      const head_of<M> one{m, h};
      if (drawn(one, queries, keys, b) != drawn(truth(b, h))) {
        CAPTURE(queries, keys, b, h, drawn(one, queries, keys, b), drawn(truth(b, h)));
        FAIL("mask differs from its reference");
      }
      check_properties(one, queries, keys, b);
    }
  const auto q = uniform({batch, 4, queries, 5}, 1), k = uniform({batch, 2, keys, 5}, 2),
             v = uniform({batch, 2, keys, 3}, 3);
  check_result_of_heads(attended(attention{.mask = m}, q, k, v), q, k, v, truth);
}

}  // namespace heed::test
