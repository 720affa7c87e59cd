// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// Prefix-LM, j ≤ i ∨ j < n (Raffel et al., T5), query row r at i = r + offset.
inline allowed prefix(index lq, index lk, index n, index offset) {
  return where(lq, lk, offset, [=](index i, index j) { return j <= i || j < n; });
}

/// Bottom-right: i = r + Lk − Lq.
inline allowed prefix(index lq, index lk, index n) {
  return prefix(lq, lk, n, bottom_right(lq, lk));
}

/// Per document of packed tokens [L×L]: same document d ∧ (j ≤ i ∨ j − cu[d] < n[d]).
inline allowed prefix_per_document(const indices& cu_seqlens, const indices& n) {
  const index l = cu_seqlens.back();
  allowed a = allowed::Constant(l, l, false);
  for (std::size_t d = 0; d < n.size(); ++d)
    for (index i = cu_seqlens[d]; i < cu_seqlens[d + 1]; ++i)
      for (index j = cu_seqlens[d]; j < cu_seqlens[d + 1]; ++j)
        a(i, j) = j <= i || j - cu_seqlens[d] < n[d];
  return a;
}

}  // namespace heed::reference::mask
