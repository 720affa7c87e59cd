// SPDX-License-Identifier: BSL-1.0
// A text that grows: tokens in, the distribution of the next one out.
#pragma once

#include <chrono>

#include "memory.hpp"
#include "random.hpp"

namespace decoder {

class session {
 public:
  explicit session(const model<float>& m, const cache_plan& plan = {},
                   heed::executor_ref executor = {})
      : model_(&m), executor_(executor), plan_(plan.of(m.shape)) {
    for (const layer_layout& at : m.layout.layers) layers_.emplace_back(m, at, plan_);
  }

  // Logits of what follows the last of `tokens`, which are read chunk by chunk.
  const matrix<float>& read(std::span<const std::int32_t> tokens) {
    const auto most = static_cast<std::size_t>(plan_.chunk);
    for (; tokens.size() > most; tokens = tokens.subspan(most)) read_chunk(tokens.first(most));
    read_chunk(tokens);
    const model<float>& m = *model_;
    last_ = rows_.x.bottomRows(1);
    normed_.resizeLike(last_);
    rms_norm<float>(last_, m[m.layout.norm], normed_);
    logits_.noalias() = normed_ * m[m.layout.classifier].transpose();
    return logits_;
  }

  const cache_plan& plan() const { return plan_; }
  std::size_t bytes() const {
    std::size_t all = 0;
    for (const memory& l : layers_) all += l.bytes();
    return all;
  }
  // Spent on appending and attending so far.
  double attention_seconds() const { return std::chrono::duration<double>(attention_).count(); }

 private:
  using clock = std::chrono::steady_clock;

  void read_chunk(std::span<const std::int32_t> tokens) {
    const model<float>& m = *model_;
    const auto rows = static_cast<index>(tokens.size());
    rows_.resize(m.shape, rows);
    embed<float>(m, tokens, rows_.x);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const layer_layout& at = m.layout.layers[l];
      before_attention(m, at, rows_);
      const clock::time_point start = clock::now();
      layers_[l].read(qkv_views<float>(m.shape, rows_.qkv.data(), 1, rows),
                      head_view(m.shape, rows_.attended.data(), 1, rows), executor_, scratch_);
      attention_ += clock::now() - start;
      after_attention(m, at, rows_, next_);
      rows_.x.swap(next_);
    }
  }

  const model<float>* model_;
  heed::executor_ref executor_;
  cache_plan plan_;
  std::vector<memory> layers_;
  layer_rows<float> rows_;
  matrix<float> next_, last_, normed_, logits_;
  heed::workspace scratch_;
  clock::duration attention_{};
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
