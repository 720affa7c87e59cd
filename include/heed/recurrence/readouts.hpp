// SPDX-License-Identifier: BSL-1.0
// Every readout.
#pragma once

#include <heed/recurrence/readout/bonus.hpp>
#include <heed/recurrence/readout/bounded.hpp>
#include <heed/recurrence/readout/direct.hpp>
#include <heed/recurrence/readout/mean.hpp>
#include <heed/recurrence/readout/normalised.hpp>
