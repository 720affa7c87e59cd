// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// valid_i ∧ valid_j ∧ (j ≤ i ∨ type_i = type_j = t): bidirectional among the tokens of one type
/// (Molmo 2). type and valid are per position [Lk]; the Lq rows are the last positions.
inline allowed types(index lq, const indices& type, const std::vector<bool>& valid, index t) {
  return where(lq, static_cast<index>(type.size()), [&](index i, index j) {
    const auto row = static_cast<std::size_t>(i), key = static_cast<std::size_t>(j);
    return valid[row] && valid[key] && (j <= i || (type[row] == t && type[key] == t));
  });
}

/// valid_i ∧ valid_j ∧ (j ≤ i ∨ span_i = span_j ≥ 0): bidirectional inside each span; −1 is no
/// span.
inline allowed spans(index lq, const indices& span, const std::vector<bool>& valid) {
  return where(lq, static_cast<index>(span.size()), [&](index i, index j) {
    const auto row = static_cast<std::size_t>(i), key = static_cast<std::size_t>(j);
    return valid[row] && valid[key] && (j <= i || (span[row] >= 0 && span[row] == span[key]));
  });
}

}  // namespace heed::reference::mask
