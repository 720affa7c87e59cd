// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::mask {

/// doc[i] = doc[j], from the document id of each query row [Lq] and of each key [Lk].
inline allowed document(const indices& of_query, const indices& of_key) {
  allowed a(static_cast<index>(of_query.size()), static_cast<index>(of_key.size()));
  for (index r = 0; r < a.rows(); ++r)
    for (index j = 0; j < a.cols(); ++j)
      a(r, j) = of_query[static_cast<std::size_t>(r)] == of_key[static_cast<std::size_t>(j)];
  return a;
}

/// The ids that cu_seqlens [documents + 1] stands for: token t has id d where cu[d] ≤ t < cu[d+1].
inline indices document_ids(const indices& cu_seqlens) {
  indices ids;
  for (std::size_t d = 0; d + 1 < cu_seqlens.size(); ++d)
    for (index t = cu_seqlens[d]; t < cu_seqlens[d + 1]; ++t) ids.push_back(static_cast<index>(d));
  return ids;
}

}  // namespace heed::reference::mask
