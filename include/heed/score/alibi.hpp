// SPDX-License-Identifier: BSL-1.0
// score/alibi: s + m_h·(k - q), or s - m_h·|k - q| with `symmetric`.
//
// The slopes are borrowed: keep them as long as the policy. ALiBi, Press et al. 2021. Cost: a
// multiply-add a pair. Throws unless there is a slope for each query head.
#pragma once

#include <cmath>
#include <heed/core/parameters.hpp>
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
  static constexpr bool by_position = true;
  // ds'/ds = 1; ds'/dm_h = k - q or -|k - q|
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  struct gradient {
    parameters_gradient slopes;  // [H]
  };
  index sums(const gradient& g) const { return g.slopes.size(); }
  void check(const gradient& g) const {
    g.slopes.check("heed::alibi", "the slopes", static_cast<index>(slopes.size()));
  }
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& in, const T*, const T* ds, double* sum) const {
    if (g.slopes.size() == 0) return;
    sum[in.h] += panel_sum<Arch, T>(in, [&](index i, const auto& at) {
      using B = simd::batch<T, Arch>;
      return B(simd::load<T, Arch>(ds + i) * distance(at.q, at, form));
    });
  }
  void deliver(const gradient& g, const double* sum) const { g.slopes.store(sum); }

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
    return simd::fma(simd::constant<S>(slope), distance(s, at, form), s);
  }
  // k - q, or -|k - q|.
  template <class S, class At>
  HEED_INLINE static S distance(const S&, const At& at, alibi_form form) {
    const S ahead = S(S(at.k) - S(at.q));
    return form == alibi_form::causal ? ahead : S(simd::constant<S>(0) - simd::abs(ahead));
  }
};

}  // namespace heed
