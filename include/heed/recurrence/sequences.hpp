// SPDX-License-Identifier: BSL-1.0
// The sequences of a call: one a batch item, or packed end to end in a batch of 1.
#pragma once

#include <heed/core/offsets.hpp>

namespace heed::detail {

// The tokens of one sequence, in the order in which they are scanned.
struct token_run {
  index b = 0, first = 0, length = 0, id = 0;  // id: which sequence of the state
  bool reverse = false;

  index row(index t) const { return reverse ? first + length - 1 - t : first + t; }
};

struct sequence_list {
  index batch = 0, tokens = 0;
  std::span<const int> cu{};
  bool reverse = false;

  index count() const { return cu.empty() ? batch : index(cu.size()) - 1; }
  token_run operator[](index i) const {
    if (cu.empty()) return {i, 0, tokens, i, reverse};
    const index first = cu[std::size_t(i)];
    return {0, first, cu[std::size_t(i + 1)] - first, i, reverse};
  }
  void check(const char* operation) const {
    if (cu.empty()) return;
    if (batch != 1)
      check::fail(operation,
                  "cu_seqlens packs sequences into a batch of 1, not of " + std::to_string(batch));
    check::offsets(operation, "cu_seqlens", cu, tokens);
  }
  // A state has seen them all.
  template <class State> void add_tokens(State& state) const {
    for (index i = 0; i < count(); ++i) state.tokens(i) += (*this)[i].length;
  }
};

}  // namespace heed::detail
