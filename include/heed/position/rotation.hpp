// SPDX-License-Identifier: BSL-1.0
// The frequencies of rotary positions, with every way of stretching them, and the rotation itself.
//
// R rotated channels, R/2 pairs; θ_c = base^{-2c/R} (RoFormer, Su et al., 2021). `f` is the factor
// by which the context grows beyond the trained length L0. Positions below 2^30. Throw
// std::invalid_argument where numbers do not fit. O(R).
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/check.hpp>
#include <heed/simd/rotate.hpp>
#include <heed/simd/sincos.hpp>
#include <numbers>
#include <vector>

namespace heed {

// neox: channels (c, c + R/2) turn together; interleaved: (2c, 2c + 1).
enum class rope_pairs { neox, interleaved };

// θ_c of each pair, and a factor on cos and sin.
struct rotation {
  std::vector<double> theta;
  double magnitude = 1;

  index pairs() const { return static_cast<index>(theta.size()); }
  // Undoes the rotation; its magnitude too.
  rotation inverse() const {
    rotation back{theta, 1 / magnitude};
    for (double& x : back.theta) x = -x;
    return back;
  }
  void check(const char* policy, index channels) const {
    if (2 * pairs() > channels)
      check::fail(policy, std::to_string(pairs()) + " pairs do not fit in " +
                              std::to_string(channels) + " channels");
  }
};

namespace detail {
inline void check_stretch(double f, double trained = 1) {
  if (!(f > 0 && trained > 0))
    check::fail("heed::rotation", "the factor and the trained length must be positive, not " +
                                      std::to_string(f) + " and " + std::to_string(trained));
}
}  // namespace detail

namespace rotations {

inline rotation plain(index channels, double base = 10000) {
  if (channels < 2 || channels % 2 != 0 || !(base > 0))
    check::fail("heed::rotation",
                "rotated channels must be even and positive and the base positive, not " +
                    std::to_string(channels) + " and " + std::to_string(base));
  rotation r;
  for (index c = 0; c < channels / 2; ++c)
    r.theta.push_back(std::pow(base, -2.0 * double(c) / double(channels)));
  return r;
}
// θ / f (position interpolation, Chen et al., 2023).
inline rotation linear(index channels, double base, double f) {
  detail::check_stretch(f);
  rotation r = plain(channels, base);
  for (double& x : r.theta) x /= f;
  return r;
}
// base · f^{R/(R-2)}.
inline rotation ntk(index channels, double base, double f) {
  detail::check_stretch(f);
  if (channels == 2) check::fail("heed::rotation", "ntk needs more than 2 channels");
  return plain(channels, base * std::pow(f, double(channels) / double(channels - 2)));
}
// base · (f L / L0 - f + 1)^{R/(R-2)} for a sequence of L > L0, unscaled up to there.
inline rotation dynamic_ntk(index channels, double base, double f, double length, double trained) {
  detail::check_stretch(f, trained);
  return ntk(channels, base, f * std::max(length, trained) / trained - f + 1);
}
// θ[(1-γ)/f + γ], γ = 1 - clamp((c - lo)/(hi - lo), 0, 1), lo = ⌊d(β_fast)⌋, hi = ⌈d(β_slow)⌉,
// d(β) = R ln(L0/2πβ) / (2 ln base); magnitude 0.1 ln f + 1 (YaRN, Peng et al., 2023).
inline rotation yarn(index channels, double base, double f, double trained, double beta_fast = 32,
                     double beta_slow = 1) {
  detail::check_stretch(f, trained);
  rotation r = plain(channels, base);
  const auto d = [&](double beta) {
    return double(channels) * std::log(trained / (2 * std::numbers::pi * beta)) /
           (2 * std::log(base));
  };
  const double lo = std::floor(d(beta_fast)), hi = std::max(std::ceil(d(beta_slow)), lo + 1e-3);
  for (index c = 0; c < r.pairs(); ++c) {
    const double gamma = 1 - std::clamp((double(c) - lo) / (hi - lo), 0.0, 1.0);
    r.theta[static_cast<std::size_t>(c)] *= (1 - gamma) / f + gamma;
  }
  r.magnitude = f > 1 ? 0.1 * std::log(f) + 1 : 1;
  return r;
}
// λ = 2π/θ: below L0/high θ, above L0/low θ/f, between them (1-t) θ/f + t θ with
// t = (L0/λ - low)/(high - low) (Llama 3.1).
inline rotation llama3(index channels, double base, double f, double low, double high,
                       double trained) {
  detail::check_stretch(f, trained);
  if (!(low < high)) check::fail("heed::rotation", "llama3 needs low < high");
  rotation r = plain(channels, base);
  for (double& x : r.theta) {
    const double t =
        std::clamp((trained * x / (2 * std::numbers::pi) - low) / (high - low), 0.0, 1.0);
    x = (1 - t) * x / f + t * x;
  }
  return r;
}
// θ_c / factor_c, R/2 factors; magnitude √(1 + ln f / ln L0) (LongRoPE, Ding et al., 2024).
inline rotation longrope(index channels, double base, const std::vector<double>& factors, double f,
                         double trained) {
  detail::check_stretch(f, trained);
  rotation r = plain(channels, base);
  if (factors.size() != r.theta.size())
    check::fail("heed::rotation", "longrope has " + std::to_string(factors.size()) +
                                      " factors for " + std::to_string(r.pairs()) + " pairs");
  for (std::size_t c = 0; c < factors.size(); ++c) r.theta[c] /= factors[c];
  r.magnitude = f > 1 ? std::sqrt(1 + std::log(f) / std::log(trained)) : 1;
  return r;
}

}  // namespace rotations

namespace detail {

template <class Arch, class T>
HEED_INLINE void rotate_pairs(T* row, index half, rope_pairs pairs, index first, index count,
                              const T* sine, const T* cosine) {
  if (pairs == rope_pairs::neox)
    simd::rotate<T, Arch>(row + first, row + first + half, 1, count, sine, cosine);
  else
    simd::rotate<T, Arch>(row + 2 * first, row + 2 * first + 1, 2, count, sine, cosine);
}

}  // namespace detail

// Turns pairs [first, first + count) of a row with `half` rotated pairs by position · theta[c].
template <class Arch, class T>
void turn_pairs(T* row, index half, rope_pairs pairs, index first, index count, double position,
                const double* theta, double magnitude) {
  for (index c = 0; c < count; c += simd::most_angles) {
    const index some = std::min(simd::most_angles, count - c);
    T sine[simd::most_angles], cosine[simd::most_angles];
    simd::sincos<T, Arch>(position, theta + c, some, magnitude, sine, cosine);
    detail::rotate_pairs<Arch>(row, half, pairs, first + c, some, sine, cosine);
  }
}

// Turns `rows` rows, `stride` apart, at positions from `position` on. Runs of rows begin at
// multiples of their length, so that what a row becomes depends on its position alone.
template <class Arch, class T>
void turn_rows(T* x, index stride, index rows, rope_pairs pairs, index position,
               const rotation& by) {
  const index half = by.pairs();
  if constexpr (std::is_same_v<T, float> && !std::is_same_v<Arch, simd::scalar>) {
    constexpr index most = simd::most_positions, angles = simd::most_angles;
    float sine[most * angles], cosine[most * angles];
    for (index done = 0; done < rows;) {
      const index skip = (position + done) & (most - 1), some = std::min(most - skip, rows - done);
      for (index c = 0; c < half; c += angles) {
        const index count = std::min(angles, half - c);
        simd::sincos_rows<Arch>(double(position + done - skip), skip, skip + some,
                                by.theta.data() + c, count, by.magnitude, sine, cosine);
        for (index i = 0; i < some; ++i)
          detail::rotate_pairs<Arch>(x + (done + i) * stride, half, pairs, c, count,
                                     sine + i * angles, cosine + i * angles);
      }
      done += some;
    }
  } else {
    for (index i = 0; i < rows; ++i)
      turn_pairs<Arch>(x + i * stride, half, pairs, 0, half, double(position + i), by.theta.data(),
                       by.magnitude);
  }
}

}  // namespace heed
