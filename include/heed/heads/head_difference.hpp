// SPDX-License-Identifier: BSL-1.0
// What joins the two maps of differential attention (heads/differential), row by row:
//
//   y = o₁ − λ o₂    λ = e^{q₁·k₁} − e^{q₂·k₂} + λ_init
//   o = (1 − λ_init) g ⊙ y / √(mean_c y_c² + ε)
//
// The vectors are [D], or [H,D] where each head has its own; without them λ = λ_init. Gains g are
// [Dv] or [H,Dv], 1 where absent. Without the norm o = y, and neither g nor 1 − λ_init is applied.
#pragma once

#include <heed/attention/gradient.hpp>
#include <heed/core/parameters.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/rows.hpp>
#include <vector>

namespace heed {

struct head_difference {
  parameters q1{}, k1{}, q2{}, k2{};
  double init = 0.8;  // λ_init
  parameters gain{};
  double epsilon = 1e-5;
  bool norm = true;

  struct gradient {
    parameters_gradient q1{}, k1{}, q2{}, k2{}, gain{};  // as what they belong to
  };

  index lambdas(index depth) const { return depth > 0 ? std::max<index>(q1.size() / depth, 1) : 1; }
  // λ of a head; `first`: where its vectors start.
  double lambda(index first, index depth) const {
    return power(q1, k1, first, depth) - power(q2, k2, first, depth) + init;
  }

  void check(const problem_shape& shape) const {
    constexpr const char* who = "heed::head_difference";
    const index n = q1.size(), all = shape.heads * shape.depth;
    if (n != k1.size() || n != q2.size() || n != k2.size() ||
        (n != 0 && n != shape.depth && n != all))
      check::fail(who, "the four vectors must be [D] or [H,D], " + std::to_string(shape.depth) +
                           " or " + std::to_string(all) + " numbers each, not " +
                           std::to_string(n) + ", " + std::to_string(k1.size()) + ", " +
                           std::to_string(q2.size()) + " and " + std::to_string(k2.size()));
    const index wide = shape.value_depth, g = gain.size();
    if (g != 0 && g != wide && g != shape.heads * wide)
      check::fail(who, "gain must be [Dv] or [H,Dv], " + std::to_string(wide) + " or " +
                           std::to_string(shape.heads * wide) + " numbers, not " +
                           std::to_string(g));
    if (!(epsilon >= 0)) check::fail(who, "epsilon must not be negative");
  }
  void check(const gradient& g) const {
    constexpr const char* who = "heed::head_difference";
    g.q1.check(who, "q1", q1.size()), g.k1.check(who, "k1", k1.size());
    g.q2.check(who, "q2", q2.size()), g.k2.check(who, "k2", k2.size());
    g.gain.check(who, "the gain", gain.size());
  }
  // From dL/dλ of each set of vectors and dL by the gains.
  void deliver(const gradient& g, const double* d_lambda, const double* d_gain, index depth) const {
    const auto put = [&](const parameters& x, const parameters& y, double sign,
                         const parameters_gradient& to) {
      if (to.size() == 0) return;
      std::vector<double> d(static_cast<std::size_t>(x.size()));
      for (index i = 0; i < x.size(); ++i)
        d[static_cast<std::size_t>(i)] =
            sign * d_lambda[i / depth] * power(x, y, i / depth * depth, depth) * y[i];
      to.store(d.data());
    };
    put(q1, k1, 1, g.q1), put(k1, q1, 1, g.k1), put(q2, k2, -1, g.q2), put(k2, q2, -1, g.k2);
    g.gain.store(d_gain);
  }

 private:
  static double power(const parameters& x, const parameters& y, index first, index depth) {
    double sum = 0;
    for (index c = first; !x.empty() && c < first + depth; ++c) sum += x[c] * y[c];
    return std::exp(sum);
  }
};

namespace detail {

// The rule with its numbers as the kernels read them; an output transform of the second map.
template <class T> class difference_row {
 public:
  difference_row() = default;
  // `first` [B,H,Lq,Dv]: rows of the first map. `kept`: where those of the second go, or nothing.
  difference_row(const head_difference& rule, const problem_shape& shape, const operand& first,
                 const result& kept, std::vector<T>& numbers)
      : first_(first), kept_(kept), epsilon_(static_cast<T>(rule.epsilon)), norm_(rule.norm) {
    const index wide = shape.value_depth, lambdas = rule.lambdas(shape.depth);
    lambda_step_ = lambdas > 1 ? 1 : 0;
    gain_step_ = rule.gain.size() > wide ? wide : 0;
    numbers.clear();
    for (index i = 0; i < lambdas; ++i)
      numbers.push_back(static_cast<T>(rule.lambda(i * shape.depth, shape.depth)));
    for (index i = 0; i < std::max(rule.gain.size(), wide); ++i)
      numbers.push_back(static_cast<T>((1 - rule.init) * rule.gain.get(i, 1)));
    lambda_ = numbers.data(), gain_ = lambda_ + lambdas;
  }

  template <class Arch> void row(T* x, index depth, const row_position& at) const {
    const index b = first_.extent[0] == 1 ? 0 : at.b;  // packed sequences are one item
    if (kept_.present())
      simd::store_row(kept_.type, x, depth, kept_.row(b, at.h, at.row), kept_.stride[3]);
    const void* const row = first_.row(b, at.h, at.row);
    T squares = 0;
    if (simd::stored_as<T>(first_)) {
      squares = subtract<Arch>(static_cast<const T*>(row), lambda(at.h), depth, x);
    } else {
      T some[64];
      for (index c = 0; c < depth; c += 64) {
        const index count = std::min<index>(64, depth - c);
        const auto* const from = static_cast<const unsigned char*>(row);
        simd::load_row(first_.type, from + c * first_.stride[3] * size_of(first_.type),
                       first_.stride[3], count, some);
        squares += subtract<Arch>(some, lambda(at.h), count, x + c);
      }
    }
    if (norm_) multiply<Arch>(gain(at.h), root(squares, depth), depth, x);
  }

  // y of both rows, and what follows from it; z = o. `d` on entry by o, on return by o₁; dx by o₂.
  template <class Arch> void join(const T* f, T* x, index depth, index h) const {
    subtract<Arch>(f, lambda(h), depth, x);
  }
  template <class Arch> void finish(T* y, index depth, index h) const {
    if (norm_) multiply<Arch>(gain(h), root(simd::sum_of_squares<Arch>(y, depth), depth), depth, y);
  }
  template <class Arch>
  void backward(const T* y, const T* x, T* d, T* dx, index depth, index h, double* d_lambda,
                double* d_gain, double by_gain) const {
    if (norm_) {
      const T r = root(simd::sum_of_squares<Arch>(y, depth), depth);
      if (d_gain)
        for (index c = 0; c < depth; ++c)
          d_gain[c + h * gain_step_] += by_gain * double(r * y[c] * d[c]);
      multiply<Arch>(gain(h), T(1), depth, d);
      const T back = r * r * r * simd::dot_row<Arch>(y, d, depth) / T(depth);
      for (index c = 0; c < depth; ++c) d[c] = r * d[c] - back * y[c];
    }
    d_lambda[h * lambda_step_] -= double(simd::dot_row<Arch>(x, d, depth));
    for (index c = 0; c < depth; ++c) dx[c] = -lambda(h) * d[c];
  }

 private:
  T lambda(index h) const { return lambda_[h * lambda_step_]; }
  const T* gain(index h) const { return gain_ + h * gain_step_; }
  T root(T squares, index depth) const { return T(1) / std::sqrt(squares / T(depth) + epsilon_); }
  // x = f − l x; gives Σ x².
  template <class Arch> static T subtract(const T* f, T l, index count, T* x) {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    B sum[2] = {B(T(0)), B(T(0))};
    index i = 0;
    for (; i + W <= count; i += W) {
      const B y = simd::fma(B(-l), simd::load<T, Arch>(x + i), simd::load<T, Arch>(f + i));
      simd::store(x + i, y);
      std::swap(sum[0], sum[1]);
      sum[0] = simd::fma(y, y, sum[0]);
    }
    T squares = simd::sum_lanes<T, Arch>(B(sum[0] + sum[1]));
    for (; i < count; ++i) x[i] = f[i] - l * x[i], squares += x[i] * x[i];
    return squares;
  }
  // x = r g ⊙ x
  template <class Arch> static void multiply(const T* g, T r, index count, T* x) {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    index i = 0;
    for (; i + W <= count; i += W)
      simd::store(x + i, B(simd::load<T, Arch>(x + i) * (simd::load<T, Arch>(g + i) * B(r))));
    for (; i < count; ++i) x[i] *= g[i] * r;
  }

  operand first_{};
  result kept_{};
  const T *lambda_ = nullptr, *gain_ = nullptr;
  index lambda_step_ = 0, gain_step_ = 0;
  T epsilon_ = 0;
  bool norm_ = true;
};

}  // namespace detail

}  // namespace heed
