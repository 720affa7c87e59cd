// SPDX-License-Identifier: BSL-1.0
// The sequences of a call: one a batch item, or packed end to end in a batch of 1.
#pragma once

#include <heed/core/offsets.hpp>

namespace heed::detail {

// Tokens of one sequence in the order in which they are scanned.
struct packed_run {
  index batch = 0, first = 0, length = 0;
  bool reverse = false;

  index row(index t) const { return reverse ? first + length - 1 - t : first + t; }
};

struct packed_sequences {
  index batch = 0, tokens = 0;
  std::span<const int> cu{};
  bool reverse = false;

  index count() const { return cu.empty() ? batch : static_cast<index>(cu.size()) - 1; }
  packed_run operator[](index i) const {
    if (cu.empty()) return {i, 0, tokens, reverse};
    const index first = cu[static_cast<std::size_t>(i)];
    return {0, first, cu[static_cast<std::size_t>(i + 1)] - first, reverse};
  }
  void check(const char* operation) const {
    if (cu.empty()) return;
    if (batch != 1)
      check::fail(operation,
                  "cu_seqlens packs sequences into a batch of 1, not of " + std::to_string(batch));
    check::offsets(operation, "cu_seqlens", cu, tokens);
  }
};

}  // namespace heed::detail
