// SPDX-License-Identifier: BSL-1.0
// weights/dropout: p'_ij = p_ij / (1 - rate) with probability 1 - rate, else 0; the denominator is
// untouched.
//
// Which weights fall follows from seed, batch item, head, query row and key slot alone
// (core/counter.hpp): forward and backward agree, for any tiling, any instruction set, float and
// double, and any number of threads. Nothing is stored. A new step of training takes a new seed.
// Throws if rate is not in [0, 1). Srivastava et al. 2014. Cost: a hash a pair.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/counter.hpp>
#include <heed/weights/concept.hpp>

namespace heed {

struct dropout {
  double rate = 0;
  std::uint64_t seed = 0;

  constexpr bool drops(const position& at) const {
    return counter::of_pair(counter::of_row(seed, at.b, at.h, at.row),
                            counter::of_key(seed, at.slot)) < threshold();
  }

  template <class Arch, class T, class Put> void factors(const tile& at, const Put& put) const {
    constexpr index W = simd::width<T, Arch>, chunk = 64;
    const std::uint32_t below = threshold();
    const T kept = static_cast<T>(1 / (1 - rate));
    for (index first = 0; first < at.keys; first += chunk) {
      const index keys = std::min(chunk, at.keys - first);
      counter::words key[chunk];
      for (index j = 0; j < keys; ++j) key[j] = counter::of_key(seed, at.slot + first + j);
      for (index lane = 0; lane < at.rows; lane += W) {
        std::uint32_t a[W], b[W];
        for (index i = 0; i < W; ++i) {
          const counter::words row = counter::of_row(seed, at.b, at.h, at.row + lane + i);
          a[i] = row.a, b[i] = row.b;
        }
        for (index j = 0; j < keys; ++j) {
          T f[W];
          for (index i = 0; i < W; ++i)
            f[i] = counter::of_pair({a[i], b[i]}, key[j]) < below ? T(0) : kept;
          put((first + j) * at.pitch + lane, simd::load<T, Arch>(f));
        }
      }
    }
  }

  void check(const problem_shape&) const {
    if (!(rate >= 0 && rate < 1))
      check::fail("heed::dropout", "rate must be in [0, 1), not " + std::to_string(rate));
  }

 private:
  // Of 2^32; a rate next to 1 still keeps one in 2^32.
  constexpr std::uint32_t threshold() const {
    return static_cast<std::uint32_t>(std::min(rate * 4294967296.0, 4294967295.0));
  }
};

}  // namespace heed
