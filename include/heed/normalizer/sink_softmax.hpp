// SPDX-License-Identifier: BSL-1.0
// normalizer/sink_softmax: p_ij = e^{s_ij} / (e^{z_h} + Σ_j e^{s_ij}), z one logit a query head.
//
// Softmax that starts at {max = z, sum = 1}: the sink is a key that every query sees and whose
// value is zero. Without logits z = 0 for all heads (softmax off by one); z = -inf is softmax. lse
// includes the sink: log(e^z + Σ_j e^{s_ij}), so a row without keys gives zeros and lse = z.
// gpt-oss, OpenAI 2025. Cost of softmax. Throws if the logits do not fit the query heads.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/parameters.hpp>
#include <heed/normalizer/softmax.hpp>

namespace heed {

struct sink_softmax {
  parameters logits{};  // [H]

  void check(const problem_shape& shape) const {
    if (!logits.empty() && logits.size() != shape.heads)
      check::fail("heed::sink_softmax", "logits must have one entry a query head, " +
                                            std::to_string(shape.heads) + ", not " +
                                            std::to_string(logits.size()));
  }

  template <class T> row_state<T> start(const row_position& at) const {
    const double z = logits.get(at.h, 0) * simd::log2e;
    if (z <= double(nothing<T>)) return softmax{}.start<T>(at);
    return {static_cast<T>(z), T(1)};
  }
  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>& factor, double scale = 1) const {
    return softmax{}.absorb<Arch>(s, pitch, keys, state, factor, scale);
  }
  template <class Arch, class T>
  bool absorb_row(T* s, index keys, row_state<T>& state, T& factor, double scale) const {
    return softmax{}.absorb_row<Arch>(s, keys, state, factor, scale);
  }
  template <class B> B finish(const row_state<B>& state) const { return softmax{}.finish(state); }
  template <class B> B lse(const row_state<B>& state) const { return softmax{}.lse(state); }

  template <class Arch, class T>
  void replay(T* s, index pitch, index keys, const row_state<simd::batch<T, Arch>>& state) const {
    softmax{}.replay<Arch>(s, pitch, keys, state);
  }
  template <class B>
  B dscore(const B& s, const B& p, const B& dp, const B& delta, const row_state<B>& state) const {
    return softmax{}.dscore(s, p, dp, delta, state);
  }

  struct gradient {
    parameters_gradient logits;  // [H]
  };
  index sums(const gradient& g) const { return g.logits.size(); }
  void check(const gradient& g) const {
    g.logits.check("heed::sink_softmax", "the logits", logits.size());
  }
  // dz_h = -Σ_i p_sink δ_i
  void add_gradient(const gradient&, const row_position& at, double lse, double delta,
                    double* sum) const {
    sum[at.h] -= std::exp(logits.get(at.h, 0) - lse) * delta;
  }
  void deliver(const gradient& g, const double* sum) const { g.logits.store(sum); }
};

}  // namespace heed
