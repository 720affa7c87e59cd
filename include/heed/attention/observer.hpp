// SPDX-License-Identifier: BSL-1.0
// What may watch a call, and what of that has a derivative.
//
// An observer sees the keys of the call. Extra slots and sinks count in the denominator of the
// weights, but no observer is shown them. Weights are those before `.weights` edits.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/core/storage.hpp>

namespace heed {

// The call, once its shapes are checked.
struct observed_call {
  problem_shape shape;
  index batch = 0;           // of the tensors: packed sequences share one item
  element compute{};         // type of the panels
  bool exponential = false;  // weights are e^{s - lse}
};

// A panel of queries after its step over some keys; matrices are [key][at.pitch], lanes from
// `at.rows` on hold anything. Unnormalised weights of a row are multiples of the finished ones:
// `factor` is what makes earlier ones comparable to these.
template <class T> struct observed_panel {
  tile at;
  const T* scores;   // as the normaliser saw them, very negative where hidden; only on demand
  double scale;      // still to be multiplied to the scores
  const T* weights;  // 0 where hidden
  const T* factor;   // [lane]; null: all 1
  const T* max;      // [lane]; softmax-like: weight = 2^(score · scale · log2 e - max)
};

// A row after its last key: `factor` turns its weights into the finished ones; `scale` as in
// panels.
struct row_end {
  double max, sum, factor, scale = 1;
};

// A call has one observer (`observers` joins several); rows belong to one worker each and keys come
// in ascending order.
struct observer {
  enum class needs { rows, weights, scores };
  virtual needs wants() const { return needs::rows; }
  // Before anything is written; may throw std::invalid_argument.
  virtual void start(const observed_call&) {}
  virtual void panel(const observed_panel<float>&) {}
  virtual void panel(const observed_panel<double>&) {}
  // Once for each query row, from the worker that finished it.
  virtual void row(const row_position& at, const row_end& end) = 0;

 protected:
  ~observer() = default;
};

// The derivative of a loss by finished weights, beside that which comes through the output.
struct observed_gradient {
  // dp += dL/dp for a panel; p is 0 where hidden, and dp is not looked at there.
  virtual void add(const tile& at, const float* p, float* dp) const = 0;
  virtual void add(const tile& at, const double* p, double* dp) const = 0;
  // Σ_j p_ij dL/dp_ij
  virtual double delta(const row_position& at) const = 0;

 protected:
  ~observed_gradient() = default;
};

}  // namespace heed
