// SPDX-License-Identifier: BSL-1.0
// The token form of any recurrence on one head, in double, and how far an engine that computes with
// precision ε may lie from it.
//
// Columns of S do not meet, so each has bounds of its own; z is one more column, of v = 1. For one
// column s: `size` M bounds all terms that a chunk may sum to s, written or not yet removed,
//   M² <- ‖D‖² M² + ‖k‖² e² + ‖b‖² u²,
// `off` E is what s may be off by. Roundings are independent, so they add up in squares:
//   E² <- ‖A‖² E² + (w ε)²,  w: a decay and its exponential 3 M, a sum of Dk products
//   (2 + √Dk / 4) M ‖k‖ or so, the write M + (2 + f) ‖k‖ e, f the roundings of a feature,
// A decay that is the same at every token is off the same way, and so is what equal keys write:
// that share of E, `drift`, adds up as it is, and so does what m is off by. A = D (I - β k kᵀ) or D
// + b aᵀ, its norm by powers. What is read is off by ‖q‖ E and its own sum.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <heed/core/view.hpp>
#include <limits>

namespace heed::test {

using Eigen::ArrayXd;
using Eigen::MatrixXd;
using Eigen::VectorXd;

enum class reading { direct, normalised, bounded, mean };

// Rows of one head, features and scale applied; what a recurrence does not have is empty.
struct recurrent_rows {
  MatrixXd q, k, v;                // [L × Dk], [L × Dk], [L × Dv]
  MatrixXd log, gain, beta, a, b;  // [L × 1], log and a and b also [L × Dk]
  VectorXd u;                      // [Dk]
  reading read = reading::direct;
  double epsilon = 0, feature = 0;  // of the normaliser; relative roundings of a feature
  bool causal = true, gates_in_double = false;
};

// S and z beside each other, and what bounds their columns.
struct recurrent_head_state {
  MatrixXd s;  // [Dk × Dv + 1]
  ArrayXd size, off, drift;
  double m = -std::numeric_limits<double>::infinity(), m_off = 0;
  std::int64_t tokens = 0;

  recurrent_head_state() = default;
  recurrent_head_state(Eigen::Index dk, Eigen::Index dv)
      : s(MatrixXd::Zero(dk, dv + 1)),
        size(ArrayXd::Zero(dv + 1)),
        off(ArrayXd::Zero(dv + 1)),
        drift(ArrayXd::Zero(dv + 1)) {}
};

struct recurrent_answer {
  MatrixXd out, allowed;  // infinite where a divisor is lost in its roundings
};

// Largest factor by which diag(d) + b aᵀ may stretch, by powers of AᵀA.
inline double stretch(const VectorXd& d, const VectorXd& a, const VectorXd& b) {
  VectorXd x = VectorXd::Ones(d.size()) + a + b;
  double norm = 0;
  for (int n = 0; n < 12 && x.norm() > 0; ++n) {
    x.normalize();
    const VectorXd y = d.cwiseProduct(x) + b * a.dot(x);
    norm = y.norm();
    x = d.cwiseProduct(y) + a * b.dot(y);
  }
  return std::max(1.05 * norm, d.cwiseAbs().maxCoeff());
}

// The rows from `state` on, which moves.
inline recurrent_answer recurrent_oracle(const recurrent_rows& x, recurrent_head_state& state,
                                         double epsilon) {
  using Index = Eigen::Index;
  const Index length = x.q.rows(), dk = x.k.cols(), dv = x.v.cols();
  const double summing = 2 + std::sqrt(double(dk)) / 4, tiny = epsilon > 0x1p-30 ? 0x1p-120 : 0;
  const bool before = x.u.size() > 0, gated = x.gain.size() > 0;
  const double given_off = x.gates_in_double && epsilon > 0x1p-30 ? epsilon / 2 : 0;
  recurrent_answer y{MatrixXd::Zero(length, dv), MatrixXd::Zero(length, dv)};
  MatrixXd& s = state.s;
  const auto add = [](ArrayXd& e, const ArrayXd& w) { e = (e.square() + w.square()).sqrt(); };

  const auto read = [&](Index t, double own) {
    const VectorXd q = x.q.row(t);
    const double length_of_q = q.norm();
    VectorXd sum = s.transpose() * q;
    ArrayXd off = length_of_q * (state.off + state.drift) +
                  epsilon * (summing + x.feature) * length_of_q * state.size;
    // S counts from e^-m; a quotient does not.
    if (gated && (x.read == reading::direct || x.read == reading::mean || x.epsilon != 0))
      off += state.m_off * length_of_q * state.size;
    if (before) {
      sum.head(dv) += own * x.v.row(t).transpose();
      off.head(dv) += epsilon * (summing + 2) * x.u.cwiseProduct(q).norm() * x.k.row(t).norm() *
                      x.v.row(t).transpose().array().abs();
    }
    double by = 1, by_off = 0;
    if (x.read == reading::normalised) by = sum(dv) + x.epsilon, by_off = off(dv);
    if (x.read == reading::bounded) {
      const double least = gated ? std::exp(-state.m) : 1;
      by = std::max(std::abs(sum(dv)), least);
      by_off = std::max(off(dv), std::min(least, 1e300) * (state.m_off + 2 * epsilon));
    }
    if (x.read == reading::mean) by = double(state.tokens);
    for (Index d = 0; d < dv; ++d) {
      const double o = by == 0 ? 0 : sum(d) / by;
      y.out(t, d) = o;
      y.allowed(t, d) = std::abs(by) < 2 * by_off || (by == 0 && off(d) > 0)
                            ? std::numeric_limits<double>::infinity()
                            : (off(d) + std::abs(o) * by_off) / (by == 0 ? 1 : std::abs(by)) +
                                  3 * epsilon * std::abs(o) + tiny;
    }
  };

  for (Index t = 0; t < length; ++t) {
    const VectorXd k = x.k.row(t), q = x.q.row(t);
    const double length_of_k = k.norm();
    if (before) read(t, q.cwiseProduct(x.u).dot(k));
    // The decay, its share of roundings, and what the token weighs.
    VectorXd decay = VectorXd::Ones(dk);
    double rounded = 0, gain = 1;
    if (gated) {
      const double kept = x.log(t, 0) + state.m, next = std::fmax(kept, x.gain(t, 0));
      decay.setConstant(std::isinf(kept) ? 0 : std::exp(kept - next));
      gain = std::isinf(x.gain(t, 0)) ? 0 : std::exp(x.gain(t, 0) - next);
      const double step =
          std::isinf(kept) ? 0 : epsilon * std::abs(kept) + 2 * given_off * std::abs(x.log(t, 0));
      rounded = decay(0) * (step / epsilon + 3);
      // A gain is as it is given, unless given in double; sums are rounded.
      const double given = std::isinf(next) ? 0 : given_off * std::abs(next);
      state.m_off = x.gain(t, 0) - kept > 10 * (state.m_off + step) || std::isinf(kept)
                        ? given
                        : std::max(given, state.m_off + step / 2);
      state.m = next;
    } else if (x.log.size() > 0) {
      for (Index c = 0; c < dk; ++c) {
        const double log = x.log(t, x.log.cols() == 1 ? 0 : c);
        decay(c) = std::exp(log);
        if (decay(c) > 0) rounded = std::max(rounded, decay(c) * (3 + std::abs(log)));
      }
    }
    const double most = dk > 0 ? decay.maxCoeff() : 0;
    VectorXd u, a, b = VectorXd::Zero(dk);
    if (x.a.size() > 0) a = x.a.row(t), b = x.b.row(t), u = s.transpose() * a;
    s = (decay.asDiagonal() * s).eval();
    VectorXd e(dv + 1);
    e << x.v.row(t).transpose(), 1;
    const ArrayXd written = e.array().abs();
    double grows = most;
    const bool again = t > 0 && x.log.size() > 0 && x.log.row(t) == x.log.row(t - 1);
    const ArrayXd forgotten = rounded * state.size;
    ArrayXd local = again ? 0 * forgotten : forgotten;
    if (x.beta.size() > 0) {
      const double beta = x.beta(t, 0);
      e = beta * (e - s.transpose() * k).eval();
      grows = most * std::max(1.0, std::abs(1 - beta * length_of_k * length_of_k));
      local += length_of_k * std::abs(beta) * (summing + 2 * x.feature) *
               (length_of_k * most * state.size + written);
    }
    e *= gain;
    s += k * e.transpose();
    local += (2 + x.feature + (gated ? 3 : 0)) * length_of_k * e.array().abs();
    if (gain > 0 && gated)
      local += given_off / epsilon * std::abs(x.gain(t, 0)) * length_of_k * e.array().abs();
    state.size = ((most * state.size).square() + (length_of_k * e.array()).square()).sqrt();
    if (a.size() > 0) {
      s += b * u.transpose();
      grows = stretch(decay, a, b);
      local += b.norm() * summing * a.norm() * state.size;
      state.size = (state.size.square() + (b.norm() * u.array()).square()).sqrt();
    }
    state.size = state.size.max(s.colwise().norm().transpose().array());
    local += state.size;
    state.off *= grows;
    // Equal terms are rounded alike where they are added: n of them are off by n / 4 roundings.
    const bool alike = t > 0 && (x.k.row(t) - x.k.row(t - 1)).norm() < 0.1 * length_of_k;
    state.drift = grows * state.drift + (again ? epsilon / 2 : 0) * forgotten +
                  (alike ? epsilon / 4 : 0) * state.size;
    add(state.off, epsilon * local + tiny);
    ++state.tokens;
    if (x.causal && !before) read(t, 0);
  }
  for (Index t = 0; t < length && !x.causal; ++t) read(t, 0);
  return y;
}

}  // namespace heed::test
