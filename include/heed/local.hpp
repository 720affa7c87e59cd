// SPDX-License-Identifier: BSL-1.0
// All of local/: convolutions whose kernels depend on the input, and that of the values.
#pragma once

#include <heed/local/backward.hpp>
#include <heed/local/channel_gradient.hpp>
#include <heed/local/dynamic_convolution.hpp>
#include <heed/local/dynamic_convolution_backward.hpp>
#include <heed/local/dynamic_depthwise.hpp>
#include <heed/local/dynamic_depthwise_backward.hpp>
#include <heed/local/forward.hpp>
#include <heed/local/kernels.hpp>
#include <heed/local/position_gradient.hpp>
#include <heed/local/problem.hpp>
#include <heed/local/tiles.hpp>
#include <heed/local/value_depthwise.hpp>
#include <heed/local/value_depthwise_backward.hpp>
#include <heed/local/weights.hpp>
