// SPDX-License-Identifier: BSL-1.0
// mask/chunk: positions are cut into chunks of `size`; chunk of i = ⌊i / size⌋.
//
//   chunk{.size = 2}   chunk{.size = 2, .previous = 1}   block_causal{.size = 2}
//   xx....             xx....                            xx....
//   xx....             xx....                            xx....
//   ..xx..             xxxx..                            xxxx..
//   ..xx..             xxxx..                            xxxx..
//   ....xx             ..xxxx                            xxxxxx
//   ....xx             ..xxxx                            xxxxxx
//
// chunk: 0 <= ⌊q/size⌋ - ⌊k/size⌋ <= previous (Ma et al., Mega; chunked local attention);
// causal{} && chunk{…} keeps the past only. block_causal: ⌊k/size⌋ <= ⌊q/size⌋ (block diffusion and
// frame models). One span a query. Throws if size < 1 or previous < 0.
// Mega, Ma et al. 2022.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>

namespace heed {

namespace detail {

constexpr index floor_divided(index i, index by) { return i >= 0 ? i / by : (i + 1) / by - 1; }
inline void check_chunk_size(const char* policy, index size) {
  if (size < 1) check::fail(policy, "size must be at least 1: " + std::to_string(size));
}

}  // namespace detail

struct chunk {
  index size = 1;
  index previous = 0;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const index behind = detail::floor_divided(at.q, size) - detail::floor_divided(at.k, size);
    return 0 <= behind && behind <= previous;
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const index own = detail::floor_divided(at.q, size);
    const span s{std::max<index>(0, own - previous) * size, std::min((own + 1) * size, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape&) const {
    detail::check_chunk_size("heed::chunk", size);
    if (previous < 0)
      check::fail("heed::chunk", "previous must not be negative: " + std::to_string(previous));
  }
};

struct block_causal {
  index size = 1;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return detail::floor_divided(at.k, size) <= detail::floor_divided(at.q, size);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min((detail::floor_divided(at.q, size) + 1) * size, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape&) const { detail::check_chunk_size("heed::block_causal", size); }
};

}  // namespace heed
