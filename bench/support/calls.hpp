// SPDX-License-Identifier: BSL-1.0
// What calls of heed need in any family: a pool, views, a contender.
#pragma once

#include "suite.hpp"

#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>

#include <unsupported/Eigen/CXX11/Tensor>

#include <map>

namespace bench {

// The caller's pool: one a number of threads, kept for the whole run.
inline const Eigen::ThreadPoolDevice& device(int threads) {
  struct team {
    explicit team(int n) : pool(n - 1), device(&pool, n) {}
    placed_pool pool;
    Eigen::ThreadPoolDevice device;
  };
  static std::map<int, std::unique_ptr<team>> teams;
  auto& one = teams[threads];
  if (!one) one = std::make_unique<team>(threads);
  return one->device;
}

template <class T>
heed::view<T> heads_outside(T* data, index batch, index heads, index length, index dim) {
  return {data, {batch, heads, length, dim}};
}

template <class T>
heed::view<T> heads_inside(T* data, index batch, index heads, index length, index dim) {
  return {data, {batch, heads, length, dim}, {length * heads * dim, dim, heads * dim, 1}};
}

// A call as a contender.
template <class Call> contender led(const Call& ours) {
  return {"heed", [ours](int times) {
            const leading here(ours.threads);
            return seconds_per_call(times, ours);
          }};
}

inline buffer<float> room(const shape& form) {
  return buffer<float>(static_cast<std::size_t>(form.query_size()), 0.0f);
}

// Calls `body` with the mask policy of the form.
template <class Body> void with_mask(const shape& form, Body body) {
  form.mask == masking::full ? body(heed::full{}) : body(heed::causal{});
}

}  // namespace bench
