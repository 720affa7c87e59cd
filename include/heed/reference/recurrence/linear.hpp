// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/normalizer/custom.hpp>
#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

enum class readout { direct, normalised, count };

struct linear_options {
  readout read = readout::direct;
  bool causal = true;
  double epsilon = 0;  // on the normaliser
  double scale = 1;    // of φ(q)
};

/// Linear attention (Katharopoulos et al., Transformers are RNNs): S_t = S_{t−1} + φ(k_t)v_tᵀ,
/// z_t = z_{t−1} + φ(k_t); o_t = S_tᵀφ(q_t), over z_tᵀφ(q_t) + ε if normalised, over t (tokens
/// seen) if counted, as in linear self-attention theory. Not causal: every token reads the last S
/// and z. φ: vector [D] -> vector [Dk], for each of q and k.
template <class QueryFeature, class KeyFeature>
scanned linear(const matrix& q, const matrix& k, const matrix& v, QueryFeature phi_q,
               KeyFeature phi_k, const linear_options& options, const carried& initial = {}) {
  const index dk = phi_k(vector(vector::Zero(k.cols()))).size();
  scanned x = before(q.rows(), dk, v.cols(), initial);
  carried& state = x.state;
  vector divisors(q.rows());
  const auto absorb = [&](index t) {
    const vector key = phi_k(vector(k.row(t)));
    state.s += key * v.row(t);
    state.z += key;
    ++state.tokens;
  };
  if (!options.causal)
    for (index t = 0; t < k.rows(); ++t) absorb(t);
  for (index t = 0; t < q.rows(); ++t) {
    if (options.causal) absorb(t);
    const vector query = options.scale * phi_q(vector(q.row(t)));
    x.out.row(t) = state.s.transpose() * query;
    divisors(t) = options.read == readout::normalised ? state.z.dot(query) + options.epsilon
                  : options.read == readout::count    ? double(state.tokens)
                                                      : 1;
  }
  x.out = normalizer::divide_rows(x.out, divisors);
  return x;
}
template <class Feature>
scanned linear(const matrix& q, const matrix& k, const matrix& v, Feature phi,
               const linear_options& options, const carried& initial = {}) {
  return linear(q, k, v, phi, phi, options, initial);
}

inline vector identity(const vector& x) { return x; }

}  // namespace heed::reference::recurrence
