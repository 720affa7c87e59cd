// SPDX-License-Identifier: BSL-1.0
// RWKV-5 (Peng et al. 2024), 5.1 and 5.2: a decay and a bonus for every head, from 5.2 on for every
// channel of it, where the output has a gate too.
#pragma once

#include <heed/recurrence/rwkv6.hpp>

#include "model.hpp"

namespace rwkv {

class rwkv5 : public model {
 public:
  explicit rwkv5(const model_file& file) : model(file) {
    const index width = file.width();
    for (index l = 0; l < file.layers(); ++l) {
      const std::string block = "blocks." + std::to_string(l) + ".", att = block + "att.",
                        ffn = block + "ffn.";
      const auto weight = [&](const std::string& name) {
        return file.matrix(name + ".weight", width, width);
      };
      // The file has the share of the row itself.
      const auto share = [&](const std::string& name) -> row {
        return 1 - file.vector(name, width).array();
      };
      layer a;
      a.gated = file.has(att + "gate.weight");
      const std::string bonus = att + (a.gated ? "time_faaaa" : "time_first");
      const auto& shape = file.at(bonus).extent;
      a.heads = shape.back();
      if (shape.size() != 3 || width % a.heads != 0)
        file.fail("tensor '" + bonus + "' has another shape");
      const index numbers = a.gated ? width : a.heads;
      a.bonus = file.vector(bonus, numbers);
      // The file has the decay; one too small for it is 0, its logarithm minus infinity.
      a.log_decay = file.vector(att + "time_decay", numbers).array().log();
      a.r = weight(att + "receptance"), a.k = weight(att + "key"), a.v = weight(att + "value");
      a.share_r = share(att + "time_mix_r"), a.share_k = share(att + "time_mix_k");
      a.share_v = share(att + "time_mix_v");
      if (a.gated) a.g = weight(att + "gate"), a.share_g = share(att + "time_mix_g");
      a.norm = file.norm(att + "ln_x");
      a.out = weight(att + "output");
      a.mix = {share(ffn + "time_mix_r"), share(ffn + "time_mix_k"), file, ffn};
      layers_.push_back(std::move(a));
    }
  }

 private:
  struct layer {
    index heads;
    bool gated;
    row log_decay, bonus, share_r, share_k, share_v, share_g;
    rows r, k, v, g, out;
    affine norm;
    gated_mix mix;
  };

  rows time_mix(std::size_t number, const rows& x, const rows& before,
                heed::recurrent_state<float>& state, call& c) const override {
    const layer& a = layers_[number];
    const rows r = mixed(x, before, a.share_r) * a.r.transpose(),
               k = mixed(x, before, a.share_k) * a.k.transpose(),
               v = mixed(x, before, a.share_v) * a.v.transpose();
    const auto spec =
        heed::recurrences::rwkv5(by_heads(a.log_decay, a.heads), by_heads(a.bonus, a.heads));
    rows y = normed(recurrent(spec, r, k, v, a.heads, state, c), a.norm, 1e-5f, a.heads);
    if (a.gated) {
      const rows g = mixed(x, before, a.share_g) * a.g.transpose();
      y.array() *= g.array() * sigmoid(g).array();
    }
    return y * a.out.transpose();
  }

  rows channel_mix(std::size_t number, const rows& x, const rows& before) const override {
    return layers_[number].mix(x, before);
  }

  std::vector<layer> layers_;
};

}  // namespace rwkv
