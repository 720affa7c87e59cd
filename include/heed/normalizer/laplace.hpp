// SPDX-License-Identifier: BSL-1.0
// normalizer/laplace: p_ij = ½ (1 + erf((s_ij - μ) / (σ√2))), undivided; μ and σ as in Mega, where
// the curve approximates relu².
//
// Mega, Ma et al. 2022. Throws unless σ > 0.
#pragma once

#include <heed/core/check.hpp>
#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct laplace {
  double mean = 0.70710678118654752440;       // √½
  double deviation = 0.28209479177387814347;  // √(1/4π)
  divisor by = divisor::one;

  void check(const problem_shape&) const {
    if (!(deviation > 0))
      check::fail("heed::laplace", "deviation must be positive, not " + std::to_string(deviation));
  }

  template <class B> B weight(const B& s) const {
    const B half = simd::constant<B>(0.5);
    return simd::fma(
        half,
        B(simd::erf(B((s - simd::constant<B>(mean)) * simd::constant<B>(1 / (deviation * root2))))),
        half);
  }
  // d weight / ds
  template <class B> B slope(const B& s) const {
    const B z = (s - simd::constant<B>(mean)) * simd::constant<B>(1 / deviation);
    return simd::exp(B(z * z * simd::constant<B>(-0.5))) *
           simd::constant<B>(1 / (deviation * root2 * root_pi));
  }

 private:
  static constexpr double root2 = 1.41421356237309504880, root_pi = 1.77245385090551602730;
};

}  // namespace heed
