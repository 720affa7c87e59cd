// SPDX-License-Identifier: BSL-1.0
// score/alibi: s + m_h·(k - q), or s - m_h·|k - q| with `symmetric`.
//
// The slopes are borrowed: keep them as long as the policy.
#pragma once

#include <cmath>
#include <heed/core/check.hpp>
#include <heed/score/concept.hpp>
#include <span>
#include <vector>

namespace heed {

// m_h = 2^{-8h/H}, h = 1 … H. H not a power of two: the slopes of the power below it, then every
// second slope of twice that power.
inline std::vector<float> alibi_slopes(index heads) {
  index power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<float> slopes;
  for (index h = 0; h < heads; ++h) {
    const double step = 8.0 / static_cast<double>(power);
    const double n = h < power ? static_cast<double>(h + 1) : static_cast<double>(h - power) + 0.5;
    slopes.push_back(static_cast<float>(std::exp2(-step * n)));
  }
  return slopes;
}

enum class alibi_form { causal, symmetric };

struct alibi {
  std::span<const float> slopes;
  alibi_form form = alibi_form::causal;

  template <class S, class At> HEED_INLINE S operator()(const S& s, const At& at) const {
    return biased(s, at, slopes[static_cast<std::size_t>(at.h)], form);
  }
  // ds'/ds = 1; ds'/dm_h = k - q or -|k - q|
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  // One head: the slope in a register.
  struct head {
    float slope;
    alibi_form form;
    template <class S, class At> HEED_INLINE S operator()(const S& s, const At& at) const {
      return biased(s, at, slope, form);
    }
  };
  template <class Arch, class T> head prepare(const tile& at, T*&) const {
    return {slopes[static_cast<std::size_t>(at.h)], form};
  }
  void check(const problem_shape& shape) const {
    if (static_cast<index>(slopes.size()) != shape.heads)
      check::fail("heed::alibi", "there are " + std::to_string(slopes.size()) + " slopes for " +
                                     std::to_string(shape.heads) + " query heads");
  }

 private:
  template <class S, class At>
  HEED_INLINE static S biased(const S& s, const At& at, float slope, alibi_form form) {
    const S ahead = S(S(at.k) - S(at.q));
    const S distance =
        form == alibi_form::causal ? ahead : S(simd::constant<S>(0) - simd::abs(ahead));
    return simd::fma(simd::constant<S>(slope), distance, s);
  }
};

}  // namespace heed
