// SPDX-License-Identifier: BSL-1.0
// RWKV-7 (Peng et al. 2025): decay, gates and the rate of its delta rule follow from the token.
#pragma once

#include <heed/recurrence/rwkv7.hpp>

#include "model.hpp"

namespace rwkv {

class rwkv7 : public model {
 public:
  explicit rwkv7(const model_file& file) : model(file) {
    const index width = file.width();
    for (index l = 0; l < file.layers(); ++l) {
      const std::string block = "blocks." + std::to_string(l) + ".", att = block + "att.",
                        ffn = block + "ffn.";
      const auto weight = [&](const char* name) {
        return file.matrix(att + name + ".weight", width, width);
      };
      const auto low_rank = [&](const std::string& name) {
        low_rank_map m;
        m.in = file.matrix(att + name + "1", width);
        m.out = file.matrix(att + name + "2", m.in.rows(), width);
        if (name != "g") m.bias = file.vector(att + name + "0", width);
        return m;
      };
      layer a;
      const auto& shape = file.at(att + "r_k").extent;
      a.heads = shape.back();
      if (shape.size() != 2 || width % a.heads != 0)
        file.fail("tensor '" + att + "r_k' has another shape");
      a.bonus = file.vector(att + "r_k", width);
      a.shares = file.matrix(att + "x_rwkvag", width, 6);
      a.r = weight("receptance"), a.k = weight("key"), a.v = weight("value");
      a.out = weight("output");
      a.decay = low_rank("w"), a.rate = low_rank("a"), a.gate = low_rank("g");
      if (l > 0) a.value_gate = low_rank("v");
      a.erased = file.vector(att + "k_k", width), a.replaced = file.vector(att + "k_a", width);
      a.norm = file.norm(att + "ln_x");
      a.ffn_share = file.vector(ffn + "x_k", width);
      a.ffn_k = file.matrix(ffn + "key.weight", width);
      a.ffn_v = file.matrix(ffn + "value.weight", a.ffn_k.rows(), width);
      layers_.push_back(std::move(a));
    }
  }

 private:
  struct low_rank_map {
    rows in, out;
    row bias;
  };
  struct layer {
    index heads;
    row bonus, erased, replaced, ffn_share;
    rows shares;  // of the row before, in r, decay, k, v, rate and gate
    rows r, k, v, out, ffn_k, ffn_v;
    low_rank_map decay, rate, gate, value_gate;
    affine norm;
  };

  rows time_mix(std::size_t number, const rows& x, const rows& before,
                heed::recurrent_state<float>& state, call& c) const override {
    const layer& a = layers_[number];
    const auto input = [&](index i) { return mixed(x, before, a.shares.row(i)); };
    const rows r = input(0) * a.r.transpose();
    rows k = input(2) * a.k.transpose(), v = input(3) * a.v.transpose();
    if (number == 0)
      c.first_values = v;
    else
      v.array() += (c.first_values - v).array() *
                   sigmoid(applied(a.value_gate, input(3) * a.value_gate.in.transpose())).array();

    // log of e^(-e^(-1/2) σ(…))
    const rows inner = (input(1) * a.decay.in.transpose()).array().tanh();
    const rows log_decay = -std::exp(-0.5f) * sigmoid(applied(a.decay, inner));
    const rows rate = sigmoid(applied(a.rate, input(4) * a.rate.in.transpose()));
    const rows erased = directions(k.array().rowwise() * a.erased.array(), a.heads);
    const rows read = -erased, written = erased.cwiseProduct(rate);
    k.array() *= 1 + (rate.array() - 1).rowwise() * a.replaced.array();

    const auto spec = heed::recurrences::rwkv7(by_heads(log_decay, a.heads),
                                               by_heads(read, a.heads), by_heads(written, a.heads));
    rows y = normed(recurrent(spec, r, k, v, a.heads, state, c), a.norm, 64e-5f, a.heads);
    add_bonus(y, r, k, v, a);
    const rows gate = sigmoid(input(5) * a.gate.in.transpose()) * a.gate.out.transpose();
    return y.cwiseProduct(gate) * a.out.transpose();
  }

  rows channel_mix(std::size_t number, const rows& x, const rows& before) const override {
    const layer& a = layers_[number];
    const rows k = mixed(x, before, a.ffn_share) * a.ffn_k.transpose();
    return squared_relu(k) * a.ffn_v.transpose();
  }

  static rows applied(const low_rank_map& m, const rows& inner) {
    return (inner * m.out.transpose()).rowwise() + m.bias;
  }
  // Each head's part of a row, of length 1.
  static rows directions(rows x, index heads) {
    const index depth = x.cols() / heads;
    for (index i = 0; i < x.rows(); ++i)
      for (index h = 0; h < heads; ++h) {
        auto part = x.row(i).segment(h * depth, depth);
        part /= std::max(part.norm(), 1e-12f);
      }
    return x;
  }
  // The token itself once more: (Σ r · k · bonus) v, a head at a time.
  static void add_bonus(rows& y, const rows& r, const rows& k, const rows& v, const layer& a) {
    const index depth = y.cols() / a.heads;
    for (index i = 0; i < y.rows(); ++i)
      for (index h = 0; h < a.heads; ++h) {
        const auto part = [&](const auto& of) { return of.row(i).segment(h * depth, depth); };
        const float share = part(r).cwiseProduct(part(k)).dot(a.bonus.segment(h * depth, depth));
        y.row(i).segment(h * depth, depth) += share * part(v);
      }
  }

  std::vector<layer> layers_;
};

}  // namespace rwkv
