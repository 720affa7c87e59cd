// SPDX-License-Identifier: BSL-1.0
// heads/output_norm: the result of each head normalised over its channels, before the output
// projection (differential, multi-token and linear attention; TransNormerLLM's SRMS is `rms` with
// ε = 0), with y = o or, for `layer`, y = o - mean o:
//
//   o <- factor · g ⊙ y / √(mean y² + ε)        rms, layer
//   o <- factor · g ⊙ y / max(‖y‖₂, ε)          l2
//
// gain g [1, H|1, 1, Dv|1], 1 where it is left out; factor is (1 - λ_init) of differential heads.
// RMSNorm, Zhang and Sennrich 2019. O(Dv) a row. Throws if ε is negative or g does not broadcast.
#pragma once

#include <cmath>
#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>

namespace heed {

enum class head_norm { rms, layer, l2 };

struct output_norm {
  head_norm form = head_norm::rms;
  double epsilon = 1e-5;
  operand gain{};
  double factor = 1;

  void check(const problem_shape&) const {
    if (!(epsilon >= 0)) check::fail("heed::output_norm", "epsilon must not be negative");
  }
  void check(const row_shape& rows) const {
    if (gain.present())
      broadcast::check("heed::output_norm", "the gain", gain, {1, rows.heads, 1, rows.channels});
  }
  template <class T> void operator()(T* x, index depth, const row_position& at) const {
    const scaled<T> of(*this, x, depth);
    for (index c = 0; c < depth; ++c) x[c] = (x[c] - of.mean) * of.by * gain_of<T>(at, c);
  }

  struct gradient {
    result gain;  // as the gain
  };
  index sums(const gradient& g) const { return broadcast::sums(g.gain); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::output_norm", gain, g.gain);
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.gain, sum); }
  // With z = y / d and e = factor · g ⊙ do: dy = (e - z Σ z e / n) / d, n the channels, or 1 for
  // l2; dg = factor · z ⊙ do.
  template <class Arch, class T>
  void row_backward(const T* x, T* dx, index depth, const row_position& at, const gradient& to,
                    double* sum) const {
    const scaled<T> of(*this, x, depth);
    const T r = of.by / T(factor == 0 ? 1 : factor);
    T product(0), slope(0);
    for (index c = 0; c < depth; ++c) {
      const T z = (x[c] - of.mean) * r;
      if (to.gain.present())
        sum[broadcast::sum_at(to.gain, at.b, at.h, at.row, c)] += double(T(factor) * z * dx[c]);
      dx[c] *= T(factor) * gain_of<T>(at, c);
      product += z * dx[c], slope += dx[c];
    }
    if (form != head_norm::l2) product /= T(depth);
    if (of.constant) product = T(0);
    slope = form == head_norm::layer ? slope / T(depth) : T(0);
    for (index c = 0; c < depth; ++c) dx[c] = r * (dx[c] - slope - (x[c] - of.mean) * r * product);
  }

 private:
  template <class T> T gain_of(const row_position& at, index c) const {
    return gain.present() ? broadcast::element<T>(gain, 0, at.h, 0, c) : T(1);
  }
  // What is taken off and what is multiplied by; `constant`: the denominator is ε alone.
  template <class T> struct scaled {
    T mean = 0, by = 0;
    bool constant = false;
    scaled(const output_norm& norm, const T* x, index depth) {
      T squares = 0;
      if (norm.form == head_norm::layer) {
        for (index c = 0; c < depth; ++c) mean += x[c];
        mean /= T(depth);
      }
      for (index c = 0; c < depth; ++c) squares += (x[c] - mean) * (x[c] - mean);
      const T least = static_cast<T>(norm.epsilon), length = std::sqrt(squares);
      constant = norm.form == head_norm::l2 && length < least;
      const T size = norm.form == head_norm::l2 ? std::max(length, least)
                                                : std::sqrt(squares / T(depth) + least);
      by = size > T(0) ? T(norm.factor) / size : T(0);
    }
  };
};

}  // namespace heed
