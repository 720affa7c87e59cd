// SPDX-License-Identifier: BSL-1.0
// Forward and backward pass over some sequences of equal length, on one thread.
#pragma once

#include <heed/attention/attend_backward.hpp>

#include "block.hpp"

namespace decoder {

template <class T> class pass {
 public:
  pass(const shape& s, index batch, index length)
      : batch_(batch), length_(length), layers_(static_cast<std::size_t>(s.layers)) {
    const index rows = batch * length;
    for (layer_rows<T>& a : layers_) a.resize(s, rows);
    for (matrix<T>* m : {&last_, &normed_, &dx_, &d_rows_}) m->resize(rows, s.width);
    logits_.resize(rows, s.vocabulary);
  }

  // tokens[batch · length]; logits of what follows each of them.
  const matrix<T>& forward(const model<T>& m, std::span<const std::int32_t> tokens) {
    embed<T>(m, tokens, layers_.front().x);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      layer_rows<T>& a = layers_[l];
      const layer_layout& at = m.layout.layers[l];
      before_attention(m, at, a);
      const qkv_views<T> x(m.shape, a.qkv.data(), batch_, length_);
      heed::attend(attention_of(m, at), x.q, x.k, x.v,
                   {.out = heads(m, a.attended), .lse = lse(m, a)}, {}, scratch_);
      after_attention(m, at, a, l + 1 < layers_.size() ? layers_[l + 1].x : last_);
    }
    rms_norm<T>(last_, m[m.layout.norm], normed_);
    logits_.noalias() = normed_ * m[m.layout.classifier].transpose();
    return logits_;
  }

  // Adds the gradient of scale · (the sum of -ln p(target)) to `gradient`, after `forward` of the
  // same tokens, and returns that sum, unscaled.
  double backward(const model<T>& m, std::span<const std::int32_t> tokens,
                  std::span<const std::int32_t> targets, T scale, buffer<T>& gradient) {
    const double loss = cross_entropy<T>(logits_, targets);
    cross_entropy_backward<T>(logits_, targets, scale);
    at(gradient, m.layout.classifier).noalias() += logits_.transpose() * normed_;
    d_rows_.noalias() = logits_ * m[m.layout.classifier];
    dx_.setZero();
    rms_norm_backward<T>(last_, m[m.layout.norm], d_rows_, dx_, at(gradient, m.layout.norm));
    for (std::size_t l = layers_.size(); l-- > 0;) {
      mlp_backward(m, m.layout.layers[l], layers_[l], gradient);
      attention_backward(m, m.layout.layers[l], layers_[l], gradient);
    }
    auto table = at(gradient, m.layout.embedding);
    for (index i = 0; i < dx_.rows(); ++i)
      table.row(tokens[static_cast<std::size_t>(i)]) += dx_.row(i);
    return loss;
  }

 private:
  heed::view<T> heads(const model<T>& m, matrix<T>& rows) const {
    return head_view(m.shape, rows.data(), batch_, length_);
  }
  heed::view<T> lse(const model<T>& m, layer_rows<T>& a) const {
    return {a.lse.data(), {batch_, m.shape.heads, length_, 1}};
  }

  // dx_: on entry by the layer's result, on return by `middle`.
  void mlp_backward(const model<T>& m, const layer_layout& to, layer_rows<T>& a, buffer<T>& g) {
    at(g, to.down).noalias() += dx_.transpose() * a.hidden;
    d_hidden_.noalias() = dx_ * m[to.down];
    d_wide_.resize(a.gate_up.rows(), a.gate_up.cols());
    swiglu_backward<T>(a.gate_up, d_hidden_, d_wide_, spare_);
    at(g, to.gate_up).noalias() += d_wide_.transpose() * a.normed_again;
    d_rows_.noalias() = d_wide_ * m[to.gate_up];
    rms_norm_backward<T>(a.middle, m[to.mlp_norm], d_rows_, dx_, at(g, to.mlp_norm));
  }

  // dx_: on entry by `middle`, on return by the layer's x.
  void attention_backward(const model<T>& m, const layer_layout& to, layer_rows<T>& a,
                          buffer<T>& g) {
    at(g, to.output).noalias() += dx_.transpose() * a.attended;
    d_rows_.noalias() = dx_ * m[to.output];
    d_wide_.resize(a.qkv.rows(), a.qkv.cols());
    const qkv_views<T> x(m.shape, a.qkv.data(), batch_, length_);
    const qkv_views<T> d(m.shape, d_wide_.data(), batch_, length_);
    d_sinks_.resize(static_cast<std::size_t>(m.shape.heads));
    heed::attend_backward(attention_of(m, to), x.q, x.k, x.v,
                          {.out = heads(m, a.attended), .lse = lse(m, a)}, heads(m, d_rows_),
                          {.dq = d.q,
                           .dk = d.k,
                           .dv = d.v,
                           .spec = {.normalizer = {.logits = std::span<T>(d_sinks_)}}},
                          {}, scratch_);
    at(g, to.sinks) += Eigen::Map<const matrix<T>>(d_sinks_.data(), 1, m.shape.heads);
    at(g, to.qkv).noalias() += d_wide_.transpose() * a.normed;
    d_rows_.noalias() = d_wide_ * m[to.qkv];
    rms_norm_backward<T>(a.x, m[to.attention_norm], d_rows_, dx_, at(g, to.attention_norm));
  }

  index batch_, length_;
  std::vector<layer_rows<T>> layers_;
  matrix<T> last_, normed_, logits_;
  matrix<T> dx_, d_rows_, d_hidden_, d_wide_, spare_;
  buffer<T> d_sinks_;
  heed::workspace scratch_;
};

}  // namespace decoder
