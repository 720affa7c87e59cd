// SPDX-License-Identifier: BSL-1.0
// Prefix sums of lengths, as packed batches carry them: cu[i] is where piece i starts.
#pragma once

#include <heed/core/check.hpp>
#include <span>

namespace heed::check {

// cu starts at 0, never decreases and ends at `total`.
inline void offsets(const char* policy, const std::string& name, std::span<const int> cu,
                    index total) {
  if (cu.empty())
    fail(policy, name + " must hold one entry more than there are pieces: it is empty");
  if (cu.front() != 0) fail(policy, name + " must start at 0: " + std::to_string(cu.front()));
  for (std::size_t i = 1; i < cu.size(); ++i)
    if (cu[i] < cu[i - 1])
      fail(policy, name + " must not decrease: " + name + "[" + std::to_string(i) +
                       "] = " + std::to_string(cu[i]) + " after " + std::to_string(cu[i - 1]));
  if (cu.back() != total)
    fail(policy, name + " must end at the number of rows: it ends at " + std::to_string(cu.back()) +
                     ", there are " + std::to_string(total));
}

}  // namespace heed::check
