// SPDX-License-Identifier: BSL-1.0
// Random numbers without a state: 32 bits for a (query, key) pair from a seed and coordinates.
//
// Rows and keys are hashed to 64 bits each, where a hash may cost something; a pair joins the two
// with 32-bit multiplies only, which every instruction set has in vectors. Two pairs draw alike
// where both halves do, so equal patterns of two rows are one in 2^64, whatever the lengths.
#pragma once

#include <cstdint>
#include <heed/core/position.hpp>
#include <initializer_list>

namespace heed::counter {

struct words {
  std::uint32_t a, b;
};

// A bijection of 64 bits (the finaliser of splitmix64).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
constexpr words halves(std::uint64_t x) {
  return {static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(x >> 32)};
}

inline constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;

constexpr words of_row(std::uint64_t seed, index b, index h, index row) {
  std::uint64_t x = mix(seed + step);
  for (const index i : {b, h, row}) x = mix(x + step + static_cast<std::uint64_t>(i));
  return halves(x);
}
constexpr words of_key(std::uint64_t seed, index slot) {
  return halves(mix(mix(seed + 2 * step) + static_cast<std::uint64_t>(slot)));
}
constexpr std::uint32_t of_pair(words row, words key) {
  std::uint32_t x = row.a ^ key.a;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = ((x ^ (x >> 15)) + (row.b + key.b)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

}  // namespace heed::counter
