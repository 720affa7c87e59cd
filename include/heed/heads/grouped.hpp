// SPDX-License-Identifier: BSL-1.0
// heads/grouped: H query heads on Hkv key/value heads, G = H / Hkv; query head h reads kv head h /
// G. Multi-head attention is G = 1, multi-query attention Hkv = 1. (Shazeer 2019; Ainslie et al.
// 2023)
//
// Nothing to configure: the shapes of q and k say it. The heads of a group share each load of a key
// and value tile.
#pragma once

#include <cassert>
#include <heed/core/position.hpp>

namespace heed {

// Where there is a query head, there is a kv head: shapes are checked.
constexpr index kv_head_of(index h, const problem_shape& shape) {
  assert(shape.group() > 0);
  return h / shape.group();
}

}  // namespace heed
