// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "check.hpp"
#include "data.hpp"

namespace bench {

// Gradients of softmax attention from the definition, in double: rows of dq spread over the heads,
// and a few keys of one head, for which every query row is visited once.
class exact_gradients {
 public:
  exact_gradients(const shape& form, const inputs& in, const float* d_out)
      : form_(form), in_(in), d_out_(d_out) {}

  // Row `row` of dq; `p` and `ds` are left for whoever sums over rows.
  std::vector<double> query(index batch, index head, index row) {
    const index dim = form_.dim, at = (batch * form_.heads + head) * form_.queries + row;
    const index kv = batch * form_.kv_heads + head / (form_.heads / form_.kv_heads);
    const float* const q = in_.q.data() + at * dim;
    const float* const go = d_out_ + at * dim;
    const float* const k = in_.k.data() + kv * form_.keys * dim;
    const float* const v = in_.v.data() + kv * form_.keys * dim;
    const double scale = 1 / std::sqrt(static_cast<double>(dim));
    p.assign(static_cast<std::size_t>(form_.keys), 0.0);
    ds = p;
    double top = -std::numeric_limits<double>::infinity(), sum = 0, delta = 0;
    for (index j = 0; j < form_.keys; ++j) {
      double& s = p[static_cast<std::size_t>(j)];
      s = allowed(form_, row, j) ? scale * dot(q, k + j * dim)
                                 : -std::numeric_limits<double>::infinity();
      top = std::max(top, s);
    }
    for (double& s : p) sum += s = std::exp(s - top);
    for (index j = 0; j < form_.keys; ++j) {
      const auto i = static_cast<std::size_t>(j);
      p[i] /= sum;
      ds[i] = dot(go, v + j * dim);
      delta += p[i] * ds[i];
    }
    std::vector<double> dq(static_cast<std::size_t>(dim), 0.0);
    for (index j = 0; j < form_.keys; ++j) {
      const auto i = static_cast<std::size_t>(j);
      ds[i] = p[i] * (ds[i] - delta) * scale;
      for (index c = 0; c < dim; ++c)
        dq[static_cast<std::size_t>(c)] += ds[i] * static_cast<double>(k[j * dim + c]);
    }
    return dq;
  }

  std::vector<double> p, ds;

 private:
  double dot(const float* x, const float* y) const {
    double sum = 0;
    for (index c = 0; c < form_.dim; ++c)
      sum += static_cast<double>(x[c]) * static_cast<double>(y[c]);
    return sum;
  }

  const shape& form_;
  const inputs& in_;
  const float* d_out_;
};

// Ends the program on a difference that float arithmetic cannot explain.
inline void check_gradients(const std::string& who, const shape& form, const inputs& in,
                            const float* d_out, const float* dq, const float* dk, const float* dv) {
  exact_gradients exact(form, in, d_out);
  const double tolerance =
      256 * std::numeric_limits<float>::epsilon() * (1 + std::sqrt(static_cast<double>(form.dim)));
  const auto compare = [&](const char* what, const float* got, const std::vector<double>& want,
                           index at) {
    double largest = 1;
    for (const double x : want) largest = std::max(largest, std::abs(x));
    for (index c = 0; c < form.dim; ++c)
      if (!(std::abs(static_cast<double>(got[c]) - want[static_cast<std::size_t>(c)]) <=
            tolerance * largest))
        fail(who + " is wrong in " + what + ", row " + std::to_string(at) + ", channel " +
             std::to_string(c) + ": " + std::to_string(got[c]) + " instead of " +
             std::to_string(want[static_cast<std::size_t>(c)]));
  };
  const index rows = form.batch * form.heads * form.queries;
  const double work = static_cast<double>(rows) * static_cast<double>(form.keys * form.dim);
  const index step = std::max<index>(1, static_cast<index>(work / 3e7)) | 1;
  for (index at = 0; at < rows; at += step)
    compare("dq", dq + at * form.dim,
            exact.query(at / (form.heads * form.queries), at / form.queries % form.heads,
                        at % form.queries),
            at);
  if (form.queries > 2048) return;
  const index dim = form.dim, group = form.heads / form.kv_heads;
  for (const index key : {index{0}, form.keys / 2, form.keys - 1}) {
    std::vector<double> k(static_cast<std::size_t>(dim), 0.0), v = k;
    for (index h = 0; h < group; ++h)
      for (index i = 0; i < form.queries; ++i) {
        if (!allowed(form, i, key)) continue;
        exact.query(0, h, i);
        for (index c = 0; c < dim; ++c) {
          const index at = (h * form.queries + i) * dim + c;
          k[static_cast<std::size_t>(c)] += exact.ds[static_cast<std::size_t>(key)] *
                                            static_cast<double>(in.q[static_cast<std::size_t>(at)]);
          v[static_cast<std::size_t>(c)] +=
              exact.p[static_cast<std::size_t>(key)] * static_cast<double>(d_out[at]);
        }
      }
    compare("dk", dk + key * dim, k, key);
    compare("dv", dv + key * dim, v, key);
  }
}

}  // namespace bench
