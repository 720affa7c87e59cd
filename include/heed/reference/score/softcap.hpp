// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s ← c·tanh(s / c), before the mask (Gemma 2, Grok).
inline matrix softcap(const matrix& s, double c) { return c * (s / c).array().tanh().matrix(); }

}  // namespace heed::reference::score
