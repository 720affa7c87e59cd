// SPDX-License-Identifier: BSL-1.0
// What a decoder does to each token by itself, and the derivatives: RMS norm, SwiGLU, cross
// entropy.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "shape.hpp"

namespace decoder {

inline constexpr double norm_epsilon = 1e-5;

template <class T> using const_map = Eigen::Map<const matrix<T>>;

template <class T, class Row> T inverse_rms(const Row& x) {
  return T(1) / std::sqrt(x.squaredNorm() / T(x.cols()) + T(norm_epsilon));
}

// y = gain · x / rms(x), row by row
template <class T> void rms_norm(const matrix<T>& x, const const_map<T>& gain, matrix<T>& y) {
  for (index i = 0; i < x.rows(); ++i)
    y.row(i) = x.row(i).cwiseProduct(gain) * inverse_rms<T>(x.row(i));
}

// dx += r · g∘dy - x · r³/W · <g∘dy, x>,  d_gain += dy ∘ x · r
template <class T, class Gain>
void rms_norm_backward(const matrix<T>& x, const const_map<T>& gain, const matrix<T>& dy,
                       matrix<T>& dx, Gain d_gain) {
  for (index i = 0; i < x.rows(); ++i) {
    const T r = inverse_rms<T>(x.row(i));
    const T along = dy.row(i).cwiseProduct(gain).dot(x.row(i)) * r * r * r / T(x.cols());
    dx.row(i) += dy.row(i).cwiseProduct(gain) * r - x.row(i) * along;
    d_gain += dy.row(i).cwiseProduct(x.row(i)) * r;
  }
}

// y = g · sigmoid(g) · u with [g, u] the halves of a row
template <class T> void swiglu(const matrix<T>& gate_up, matrix<T>& y) {
  const index n = y.cols();
  for (index i = 0; i < y.rows(); ++i) {
    const auto g = gate_up.row(i).head(n).array();
    y.row(i).array() = g * gate_up.row(i).tail(n).array() / (T(1) + (-g).exp());
  }
}

template <class T>
void swiglu_backward(const matrix<T>& gate_up, const matrix<T>& dy, matrix<T>& d_gate_up,
                     matrix<T>& spare) {
  const index n = dy.cols();
  spare.resize(1, n);
  auto s = spare.row(0).array();
  for (index i = 0; i < dy.rows(); ++i) {
    const auto g = gate_up.row(i).head(n).array();
    const auto u = gate_up.row(i).tail(n).array();
    s = T(1) / (T(1) + (-g).exp());
    d_gate_up.row(i).head(n).array() = dy.row(i).array() * u * s * (T(1) + g * (T(1) - s));
    d_gate_up.row(i).tail(n).array() = dy.row(i).array() * g * s;
  }
}

// Sum over the rows of -ln p(target), in the order of the rows.
template <class T>
double cross_entropy(const matrix<T>& logits, std::span<const std::int32_t> targets,
                     index first = 0) {
  double sum = 0;
  for (index i = first; i < logits.rows(); ++i) {
    const T most = logits.row(i).maxCoeff();
    const T total = (logits.row(i).array() - most).exp().sum();
    const T score = logits(i, targets[static_cast<std::size_t>(i)]) - most;
    sum += std::log(double(total)) - double(score);
  }
  return sum;
}

// Turns logits into the derivative of scale · cross_entropy.
template <class T>
void cross_entropy_backward(matrix<T>& logits, std::span<const std::int32_t> targets, T scale) {
  for (index i = 0; i < logits.rows(); ++i) {
    auto row = logits.row(i).array();
    const T most = row.maxCoeff();
    row = (row - most).exp();
    row *= scale / row.sum();
    row(targets[static_cast<std::size_t>(i)]) -= scale;
  }
}

}  // namespace decoder
