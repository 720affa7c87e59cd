// SPDX-License-Identifier: BSL-1.0
// RWKV-6 (Peng et al. 2024): as RWKV-5, with a decay and shares of the row before that follow from
// the token.
#pragma once

#include <heed/recurrence/rwkv6.hpp>

#include "model.hpp"

namespace rwkv {

class rwkv6 : public model {
 public:
  explicit rwkv6(const model_file& file) : model(file) {
    const index width = file.width();
    for (index l = 0; l < file.layers(); ++l) {
      const std::string block = "blocks." + std::to_string(l) + ".", att = block + "att.",
                        ffn = block + "ffn.";
      const auto weight = [&](const std::string& name) {
        return file.matrix(name + ".weight", width, width);
      };
      layer a;
      const auto& shape = file.at(att + "time_faaaa").extent;
      a.heads = shape.back();
      if (shape.size() != 3 || width % a.heads != 0)
        file.fail("tensor '" + att + "time_faaaa' has another shape");
      a.bonus = file.vector(att + "time_faaaa", width);
      a.share = file.vector(att + "time_maa_x", width);
      for (std::size_t i = 0; i < inputs; ++i)
        a.shares[i] = file.vector(att + "time_maa_" + "wkvrg"[i], width);
      a.shares_in = file.matrix(att + "time_maa_w1", width);
      const index rank = a.shares_in.rows() / index{inputs};
      a.shares_out = file.matrix(att + "time_maa_w2", rank, index{inputs} * width);
      a.decay = file.vector(att + "time_decay", width);
      a.decay_in = file.matrix(att + "time_decay_w1", width);
      a.decay_out = file.matrix(att + "time_decay_w2", a.decay_in.rows(), width);
      a.r = weight(att + "receptance"), a.k = weight(att + "key"), a.v = weight(att + "value");
      a.g = weight(att + "gate"), a.out = weight(att + "output");
      a.norm = file.norm(att + "ln_x");
      a.mix = {file.vector(ffn + "time_maa_r", width), file.vector(ffn + "time_maa_k", width), file,
               ffn};
      layers_.push_back(std::move(a));
    }
  }

 private:
  static constexpr std::size_t inputs = 5;  // of decay, k, v, r and gate

  struct layer {
    index heads;
    row bonus, share, decay;
    std::array<row, inputs> shares;
    rows shares_in, shares_out, decay_in, decay_out, r, k, v, g, out;
    affine norm;
    gated_mix mix;
  };

  rows time_mix(std::size_t number, const rows& x, const rows& before,
                heed::recurrent_state<float>& state, call& c) const override {
    const layer& a = layers_[number];
    const rows inner = (mixed(x, before, a.share) * a.shares_in.transpose()).array().tanh();
    const index rank = a.shares_out.cols(), width = x.cols();
    const auto input = [&](std::size_t number_of) -> rows {
      const auto i = static_cast<index>(number_of);
      const rows more =
          inner.middleCols(i * rank, rank) * a.shares_out.middleRows(i * width, width).transpose();
      return x.array() + (before - x).array() * (more.rowwise() + a.shares[number_of]).array();
    };
    const rows decay_inner = (input(0) * a.decay_in.transpose()).array().tanh();
    const rows decay = (decay_inner * a.decay_out.transpose()).rowwise() + a.decay;
    const rows log_decay = -decay.array().exp();
    const rows k = input(1) * a.k.transpose(), v = input(2) * a.v.transpose(),
               r = input(3) * a.r.transpose(), g = input(4) * a.g.transpose();
    const auto spec =
        heed::recurrences::rwkv6(by_heads(log_decay, a.heads), by_heads(a.bonus, a.heads));
    rows y = normed(recurrent(spec, r, k, v, a.heads, state, c), a.norm, 64e-5f, a.heads);
    y.array() *= g.array() * sigmoid(g).array();
    return y * a.out.transpose();
  }

  rows channel_mix(std::size_t number, const rows& x, const rows& before) const override {
    return layers_[number].mix(x, before);
  }

  std::vector<layer> layers_;
};

}  // namespace rwkv
