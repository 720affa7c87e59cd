// SPDX-License-Identifier: BSL-1.0
// update/additive: S ← S + k vᵀ.
#pragma once

namespace heed {

struct additive {};

}  // namespace heed
