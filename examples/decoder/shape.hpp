// SPDX-License-Identifier: BSL-1.0
// The sizes of a decoder and where its parameters lie in one flat buffer.
#pragma once

#include <Eigen/Core>
#include <heed/core/position.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace decoder {

using heed::index;

// Aligned, so that the order of vectorised sums does not depend on where the memory lies.
template <class T> using buffer = std::vector<T, Eigen::aligned_allocator<T>>;
template <class T> using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct shape {
  index width = 96;  // channels of a token
  index hidden = 256;
  index layers = 4;
  index heads = 4;
  index kv_heads = 2;
  index vocabulary = 256;
  index context = 256;
  index tied = 1;  // the embedding is the classifier too

  bool operator==(const shape&) const = default;
  index depth() const { return width / heads; }
  index qkv() const { return (heads + 2 * kv_heads) * depth(); }

  // What `check` accepts has fewer than 2^48 parameters: no size overflows.
  void check() const {
    for (const index n : {width, hidden, layers, heads, kv_heads, vocabulary, context})
      if (n < 1 || n > 1 << 18 || layers > 1 << 10 || width > 1 << 14 || hidden > 1 << 16)
        throw std::runtime_error("a size of the model is out of range: " + std::to_string(n));
    if (width % heads != 0 || heads % kv_heads != 0 || depth() % 2 != 0 || tied < 0 || tied > 1)
      throw std::runtime_error("the heads of the model do not fit its width");
  }
};

// A row-major matrix inside the buffer; only those that multiply decay.
struct slice {
  index first = 0, rows = 0, columns = 0;
  bool decays = true;
  index size() const { return rows * columns; }
};

struct layer_layout {
  slice attention_norm, qkv, output, sinks, mlp_norm, gate_up, down;
};

struct layout {
  slice embedding, norm, classifier;
  std::vector<layer_layout> layers;
  std::vector<slice> all;  // in the order of the buffer
  index size = 0;

  explicit layout(const shape& s) {
    const auto take = [this](index rows, index columns, bool decays = true) {
      all.push_back({size, rows, columns, decays});
      size += rows * columns;
      return all.back();
    };
    embedding = take(s.vocabulary, s.width, false);
    for (index l = 0; l < s.layers; ++l) {
      layer_layout at;
      at.attention_norm = take(1, s.width, false);
      at.qkv = take(s.qkv(), s.width);
      at.output = take(s.width, s.width);
      at.sinks = take(1, s.heads, false);
      at.mlp_norm = take(1, s.width, false);
      at.gate_up = take(2 * s.hidden, s.width);
      at.down = take(s.width, s.hidden);
      layers.push_back(at);
    }
    norm = take(1, s.width, false);
    classifier = s.tied ? embedding : take(s.vocabulary, s.width);
  }
};

template <class T> Eigen::Map<matrix<T>> at(buffer<T>& parameters, const slice& s) {
  return {parameters.data() + s.first, s.rows, s.columns};
}
template <class T> Eigen::Map<const matrix<T>> at(const buffer<T>& parameters, const slice& s) {
  return {parameters.data() + s.first, s.rows, s.columns};
}

template <class T> struct model {
  decoder::shape shape;
  decoder::layout layout;
  buffer<T> parameters;

  explicit model(const decoder::shape& s)
      : shape(s), layout(s), parameters(static_cast<std::size_t>(layout.size)) {}
  Eigen::Map<const matrix<T>> operator[](const slice& s) const { return at(parameters, s); }
};

}  // namespace decoder
