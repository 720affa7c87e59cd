// SPDX-License-Identifier: BSL-1.0
// A text that grows: tokens in, the distribution of the next one out. Keys and values of what was
// read are kept, unrotated: `.key` turns them when they are packed.
#pragma once

#include <heed/attention/attend.hpp>

#include "block.hpp"
#include "random.hpp"

namespace decoder {

class session {
 public:
  explicit session(const model<float>& m)
      : model_(&m), kept_(static_cast<std::size_t>(m.shape.layers)) {}

  // Logits of what follows the last of `tokens`.
  const matrix<float>& read(std::span<const std::int32_t> tokens) {
    const model<float>& m = *model_;
    const shape& s = m.shape;
    const auto rows = static_cast<index>(tokens.size());
    const index d = s.depth(), kv = s.kv_heads * d, known = length_ + rows;
    rows_.resize(s, rows);
    embed<float>(m, tokens, rows_.x);
    for (std::size_t l = 0; l < kept_.size(); ++l) {
      const layer_layout& at = m.layout.layers[l];
      before_attention(m, at, rows_);
      buffer<float>& kept = kept_[l];  // [token][2 · kv]
      for (index i = 0; i < rows; ++i) {
        const float* const row = rows_.qkv.row(i).data();
        kept.insert(kept.end(), row + s.width, row + s.width + 2 * kv);
      }
      const qkv_views<float> x(s, rows_.qkv.data(), 1, rows);
      const heed::view<const float> k(kept.data(), {1, s.kv_heads, known, d}, {0, d, 2 * kv, 1});
      const heed::view<const float> v(kept.data() + kv, k.extent, k.stride);
      heed::attend(attention_of(m, at), x.q, k, v, head_view(s, rows_.attended.data(), 1, rows), {},
                   scratch_);
      after_attention(m, at, rows_, next_);
      rows_.x.swap(next_);
    }
    length_ = known;
    last_ = rows_.x.bottomRows(1);
    normed_.resizeLike(last_);
    rms_norm<float>(last_, m[m.layout.norm], normed_);
    logits_.noalias() = normed_ * m[m.layout.classifier].transpose();
    return logits_;
  }

 private:
  const model<float>* model_;
  std::vector<buffer<float>> kept_;
  index length_ = 0;
  layer_rows<float> rows_;
  matrix<float> next_, last_, normed_, logits_;
  heed::workspace scratch_;
};

// The likeliest token at temperature 0, else one drawn from softmax(logits / temperature).
inline std::int32_t choose(const matrix<float>& logits, double temperature, random_numbers& draw) {
  index most = 0;
  const double top = double(logits.row(0).maxCoeff(&most));
  if (temperature <= 0) return static_cast<std::int32_t>(most);
  double total = 0;
  const auto weight = [&](index i) { return std::exp((double(logits(0, i)) - top) / temperature); };
  for (index i = 0; i < logits.cols(); ++i) total += weight(i);
  double left = draw.uniform() * total;
  for (index i = 0; i < logits.cols(); ++i)
    if ((left -= weight(i)) < 0) return static_cast<std::int32_t>(i);
  return static_cast<std::int32_t>(most);
}

}  // namespace decoder
