// SPDX-License-Identifier: BSL-1.0
// What nearly every test includes and nobody edits, precompiled (HEED_PRECOMPILE). Of heed only the
// kernels, beside this file: a test says itself what it takes from there.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <xsimd/xsimd.hpp>

#include "support/catch.hpp"
