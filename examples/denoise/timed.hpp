// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <heed/core/executor.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

namespace denoise {

// Half a grey level is the rounding of the file; float arithmetic stays far below.
inline constexpr double tolerance = 0.02;
// What a result has to gain over its input, in decibel.
inline constexpr double least_gain = 4;

template <class T> struct timed {
  T value;
  double seconds;
};

// What `make(executor)` gives on a pool of threads, and how long it took.
template <class Make> auto timed_on(int threads, const Make& make) {
  Eigen::ThreadPool pool(threads);
  const Eigen::ThreadPoolDevice device(&pool, threads);
  const auto executor = heed::on(device);
  const auto start = std::chrono::steady_clock::now();
  auto value = make(heed::executor_ref(executor));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return timed<decltype(value)>{std::move(value), took.count()};
}

}  // namespace denoise
