// SPDX-License-Identifier: BSL-1.0
// A Llama decoder from the file format of llama2.c, over a whole text at once: enough to watch its
// attention. Prefill only; plain loops but for attention.
#pragma once

#include <functional>
#include <heed/attention/observer.hpp>
#include <heed/core/view.hpp>
#include <string>
#include <vector>

namespace sinks {

using heed::index;

struct llama {
  index dim = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0, longest = 0;
  std::vector<float> embedding;                                             // [vocabulary, dim]
  std::vector<float> attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3;  // each [layers, …]
  std::vector<float> last_norm, classifier;

  index head_dim() const { return dim / heads; }

  // Throws std::runtime_error where the file is no such model.
  static llama read(const std::string& path);

  // Layer l has q [1,H,L,D] and k [1,Hkv,L,D] before their rotation and lse [1,H,L,1]; `watch` is
  // the observer that layer gets and `after` is called when it has run.
  struct layer {
    index number;
    heed::view<const float> q, k, lse;
  };
  // Logits [L, vocabulary] of the tokens.
  std::vector<float> run(const std::vector<int>& tokens,
                         const std::function<heed::observer*(index)>& watch,
                         const std::function<void(const layer&)>& after) const;
};

struct tokenizer {
  std::vector<std::string> pieces;
  std::vector<float> scores;

  static tokenizer read(const std::string& path, index vocabulary);
  // Byte pairs merged best score first, after the token that starts a text.
  std::vector<int> encode(const std::string& text) const;
};

}  // namespace sinks
