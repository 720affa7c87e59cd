// SPDX-License-Identifier: BSL-1.0
// Everything but the references, which are included one by one from heed/reference/.
#pragma once

#include <heed/attention.hpp>
#include <heed/eigen.hpp>
#include <heed/local.hpp>
#include <heed/recurrence.hpp>
#include <heed/segment.hpp>
#include <heed/select.hpp>
