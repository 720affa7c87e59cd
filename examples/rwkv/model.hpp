// SPDX-License-Identifier: BSL-1.0
// What the versions of RWKV have in common: a layer mixes over time, by a recurrence, and then over
// channels; both see the row before each row.
#pragma once

#include <heed/recurrence/scan.hpp>

#include "file.hpp"

namespace rwkv {

// How a text is read: all tokens of a call at once, or token by token.
enum class form { scan, step };

// What a layer keeps between calls.
struct memory {
  row time, channel;  // the last row that each mix saw
  heed::recurrent_state<float> state;
};

// What the layers of one call share.
struct call {
  form by;
  heed::workspace& scratch;
  rows first_values;  // of the first layer, which RWKV-7 shows to the others
};

class model {
 public:
  explicit model(const model_file& file)
      : width_(file.width()),
        embedding_(file.matrix("emb.weight", width_, file.vocabulary())),
        head_(file.matrix("head.weight", width_, file.vocabulary())),
        first_norm_(file.norm("blocks.0.ln0")),
        last_norm_(file.norm("ln_out")) {
    for (index l = 0; l < file.layers(); ++l) {
      const std::string block = "blocks." + std::to_string(l);
      time_norms_.push_back(file.norm(block + ".ln1"));
      channel_norms_.push_back(file.norm(block + ".ln2"));
    }
  }
  virtual ~model() = default;

  index vocabulary() const { return embedding_.rows(); }
  std::vector<memory> blank() const {
    const row zero = row::Zero(width_);
    return std::vector<memory>(time_norms_.size(), {zero, zero, {}});
  }

  // Logits of what follows the last of `tokens`, which follow those that `kept` saw.
  row read(std::span<const unsigned char> tokens, std::vector<memory>& kept, call& c) const {
    rows x(static_cast<index>(tokens.size()), width_);
    for (index i = 0; i < x.rows(); ++i)
      x.row(i) = embedding_.row(tokens[static_cast<std::size_t>(i)]);
    x = normed(x, first_norm_);
    for (std::size_t l = 0; l < kept.size(); ++l) {
      rows y = normed(x, time_norms_[l]);
      x += time_mix(l, y, shifted(y, kept[l].time), kept[l].state, c);
      y = normed(x, channel_norms_[l]);
      x += channel_mix(l, y, shifted(y, kept[l].channel));
    }
    return normed(x.bottomRows(1), last_norm_) * head_.transpose();
  }

 protected:
  virtual rows time_mix(std::size_t layer, const rows& x, const rows& before,
                        heed::recurrent_state<float>& state, call& c) const = 0;
  virtual rows channel_mix(std::size_t layer, const rows& x, const rows& before) const = 0;

 private:
  index width_;
  rows embedding_, head_;
  affine first_norm_, last_norm_;
  std::vector<affine> time_norms_, channel_norms_;
};

// The mix over channels of RWKV-5 and RWKV-6.
struct gated_mix {
  row share_r, share_k;  // of the row before
  rows r, k, v;

  gated_mix() = default;
  gated_mix(row of_r, row of_k, const model_file& file, const std::string& ffn)
      : share_r(std::move(of_r)),
        share_k(std::move(of_k)),
        r(file.matrix(ffn + "receptance.weight", file.width(), file.width())),
        k(file.matrix(ffn + "key.weight", file.width())),
        v(file.matrix(ffn + "value.weight", k.rows(), file.width())) {}
  rows operator()(const rows& x, const rows& before) const {
    const rows keys = mixed(x, before, share_k) * k.transpose(),
               gate = mixed(x, before, share_r) * r.transpose(),
               values = squared_relu(keys) * v.transpose();
    return sigmoid(gate).cwiseProduct(values);
  }
};

// The recurrence of one layer.
template <class Spec>
rows recurrent(const Spec& spec, const rows& r, const rows& k, const rows& v, index heads,
               heed::recurrent_state<float>& state, call& c) {
  rows out(r.rows(), r.cols());
  const auto q = by_heads(r, heads), key = by_heads(k, heads), value = by_heads(v, heads);
  const auto to = by_heads(out, heads);
  if (c.by == form::scan)
    heed::scan(spec, q, key, value, to, state, {}, c.scratch);
  else
    heed::step(spec, q, key, value, to, state, {}, c.scratch);
  return out;
}

}  // namespace rwkv
