// SPDX-License-Identifier: BSL-1.0
#define HEED_COMPILE_KERNELS
#include <heed/kernels.hpp>
