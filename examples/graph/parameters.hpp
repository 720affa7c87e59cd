// SPDX-License-Identifier: BSL-1.0
// All that a model learns, in one piece of memory beside its gradients, and Adam, which moves it.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <deque>

#include "../decoder/random.hpp"
#include "network.hpp"

namespace graph {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct parameter {
  matrix value, gradient, mean, square;

  parameter(index rows, index columns, double deviation, decoder::random_numbers& random)
      : value(rows, columns),
        gradient(matrix::Zero(rows, columns)),
        mean(matrix::Zero(rows, columns)),
        square(matrix::Zero(rows, columns)) {
    for (index i = 0; i < value.size(); ++i) value.data()[i] = float(deviation * random.normal());
  }
};

struct recipe {
  double rate = 1e-2, decay = 0.02, beta1 = 0.9, beta2 = 0.99;
  int epochs = 60, heads = 4, depth = 16, layers = 2;
};

class parameters {
 public:
  explicit parameters(std::uint64_t seed) : random_(seed) {}
  parameter& add(index rows, index columns, double deviation) {
    return all_.emplace_back(rows, columns, deviation, random_);
  }
  index count() const {
    index sum = 0;
    for (const parameter& p : all_) sum += p.value.size();
    return sum;
  }

  // Adam with decoupled decay; gradients are zero afterwards.
  void step(const recipe& r) {
    ++steps_;
    const float a = float(r.beta1), b = float(r.beta2);
    const float rate = float(r.rate / (1 - std::pow(r.beta1, steps_)));
    const float by = float(1 / (1 - std::pow(r.beta2, steps_)));
    for (parameter& p : all_) {
      p.mean = a * p.mean + (1 - a) * p.gradient;
      p.square = b * p.square + (1 - b) * p.gradient.cwiseAbs2();
      p.value = float(1 - r.rate * r.decay) * p.value;
      p.value.array() -= rate * p.mean.array() / ((by * p.square.array()).sqrt() + 1e-8f);
      p.gradient.setZero();
    }
  }

 private:
  decoder::random_numbers random_;
  std::deque<parameter> all_;  // addresses stay
  int steps_ = 0;
};

}  // namespace graph
