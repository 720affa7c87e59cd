// SPDX-License-Identifier: BSL-1.0
// mask/full: every query sees every key. The default; defined beside the concept.
#pragma once

#include <heed/mask/concept.hpp>
