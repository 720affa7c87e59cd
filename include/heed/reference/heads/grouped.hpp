// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::heads {

/// The key/value head that query head h reads: ⌊h / G⌋, G = H / Hkv (Ainslie et al., GQA;
/// Hkv = 1: Shazeer, Fast transformer decoding: MQA; Hkv = H: MHA).
inline index kv_head(index h, index heads, index kv_heads) { return h / (heads / kv_heads); }

}  // namespace heed::reference::heads
