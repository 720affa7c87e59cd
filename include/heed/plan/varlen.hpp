// SPDX-License-Identifier: BSL-1.0
// plan/varlen: a batch of sequences of different lengths, packed end to end without padding.
//
//   q [1,H,Σlen_q,D], k [1,Hkv,Σlen_k,D]; sequence i has query rows [cu_q[i], cu_q[i+1]) and key
//   rows [cu_k[i], cu_k[i+1]) and attends itself alone. cu_q 0 2 3, cu_k 0 3 5, causal:
//     xx|..
//     xxx..
//     ---
//     ...xx
//
// Policies see each sequence by itself: positions count from its own start, its last query sits at
// its last key, and `b` is its number. `row` and `slot` are indices into the packed tensors.
// Without cu_k keys are cut as queries are. Offsets are borrowed for the call. Throws
// std::invalid_argument if the batch is not 1, or offsets do not start at 0, decrease or miss the
// packed length. Cost: Σ_i len_q,i · len_k,i of each head, nothing for padding.
// ByteTransformer, Zhai et al. 2022.
#pragma once

#include <algorithm>
#include <heed/core/offsets.hpp>

namespace heed {

struct varlen {
  std::span<const int> cu_q{};
  std::span<const int> cu_k{};

  constexpr index sequences() const { return std::max<index>(0, index(cu_q.size()) - 1); }
  constexpr span query_rows(index i) const { return piece(cu_q, i); }
  constexpr span key_rows(index i) const { return piece(of_keys(), i); }
  constexpr index longest_queries() const { return longest(cu_q); }
  constexpr index longest_keys() const { return longest(of_keys()); }

  // `shape` is that of the packed tensors.
  void check(const problem_shape& shape) const {
    if (shape.batch != 1)
      check::fail("heed::varlen",
                  "packed tensors have a batch of 1: " + std::to_string(shape.batch));
    check::offsets("heed::varlen", "cu_q", cu_q, shape.queries);
    check::offsets("heed::varlen", cu_k.empty() ? "cu_q, used for the keys," : "cu_k", of_keys(),
                   shape.keys);
    if (of_keys().size() != cu_q.size())
      check::fail("heed::varlen",
                  "cu_q and cu_k must be of one size: " + std::to_string(cu_q.size()) + " and " +
                      std::to_string(cu_k.size()));
  }

 private:
  constexpr std::span<const int> of_keys() const { return cu_k.empty() ? cu_q : cu_k; }
  static constexpr span piece(std::span<const int> cu, index i) {
    return {cu[static_cast<std::size_t>(i)], cu[static_cast<std::size_t>(i + 1)]};
  }
  static constexpr index longest(std::span<const int> cu) {
    index most = 0;
    for (index i = 0; i + 1 < index(cu.size()); ++i) most = std::max(most, piece(cu, i).size());
    return most;
  }
};

}  // namespace heed
