// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <map>
#include <stdexcept>

#include "spec.hpp"

namespace sinks {

namespace {

template <class T>
void get(std::ifstream& file, T* to, std::size_t count, const std::string& path) {
  file.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(T)));
  if (!file) throw std::runtime_error(path + " ends too early");
}

// y [L, n] = x [L, m] wᵀ, w [n, m]
std::vector<float> product(const std::vector<float>& x, const float* w, index n, index m) {
  const index rows = static_cast<index>(x.size()) / m;
  std::vector<float> y(static_cast<std::size_t>(rows * n));
  for (index r = 0; r < rows; ++r)
    for (index i = 0; i < n; ++i) {
      float sum = 0;
      for (index c = 0; c < m; ++c) sum += x[static_cast<std::size_t>(r * m + c)] * w[i * m + c];
      y[static_cast<std::size_t>(r * n + i)] = sum;
    }
  return y;
}

std::vector<float> normed(const std::vector<float>& x, const float* gain, index dim) {
  std::vector<float> y(x.size());
  for (std::size_t r = 0; r < x.size(); r += static_cast<std::size_t>(dim)) {
    float squares = 0;
    for (index c = 0; c < dim; ++c) squares += x[r + std::size_t(c)] * x[r + std::size_t(c)];
    const float scale = 1 / std::sqrt(squares / static_cast<float>(dim) + 1e-5f);
    for (index c = 0; c < dim; ++c) y[r + std::size_t(c)] = x[r + std::size_t(c)] * scale * gain[c];
  }
  return y;
}

void add(std::vector<float>& x, const std::vector<float>& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

llama llama::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::int32_t sizes[7];
  get(file, sizes, 7, path);
  llama m;
  m.dim = sizes[0], m.hidden = sizes[1], m.layers = sizes[2], m.heads = sizes[3];
  m.kv_heads = sizes[4], m.vocabulary = std::abs(sizes[5]), m.longest = sizes[6];
  for (const std::int32_t n : sizes)
    if (n == 0 || std::abs(n) > 1 << 16) throw std::runtime_error(path + " is no llama2.c model");
  if (m.dim % m.heads != 0 || m.heads % m.kv_heads != 0)
    throw std::runtime_error(path + " is no llama2.c model");
  const index kv = m.dim / m.heads * m.kv_heads;
  const auto take = [&](std::vector<float>& x, index count) {
    x.resize(static_cast<std::size_t>(count));
    get(file, x.data(), x.size(), path);
  };
  take(m.embedding, m.vocabulary * m.dim);
  take(m.attention_norm, m.layers * m.dim);
  take(m.wq, m.layers * m.dim * m.dim);
  take(m.wk, m.layers * kv * m.dim);
  take(m.wv, m.layers * kv * m.dim);
  take(m.wo, m.layers * m.dim * m.dim);
  take(m.ffn_norm, m.layers * m.dim);
  take(m.w1, m.layers * m.hidden * m.dim);
  take(m.w2, m.layers * m.dim * m.hidden);
  take(m.w3, m.layers * m.hidden * m.dim);
  take(m.last_norm, m.dim);
  m.classifier = m.embedding;
  if (sizes[5] < 0) {  // after two tables of rotations
    std::vector<float> rotations;
    take(rotations, m.longest * m.head_dim());
    take(m.classifier, m.vocabulary * m.dim);
  }
  return m;
}

std::vector<float> llama::run(const std::vector<int>& tokens,
                              const std::function<heed::observer*(index)>& watch,
                              const std::function<void(const layer&)>& after) const {
  const auto length = static_cast<index>(tokens.size());
  const index kv = head_dim() * kv_heads;
  std::vector<float> x;
  for (const int token : tokens)
    x.insert(x.end(), embedding.begin() + token * dim, embedding.begin() + (token + 1) * dim);
  const auto by_heads = [&](auto* data, index count) {
    return heed::view(data, {1, count, length, head_dim()},
                      {length * count * head_dim(), head_dim(), count * head_dim(), 1});
  };
  const auto spec = attention_of(*this);
  heed::workspace scratch;
  std::vector<float> out(x.size()), lse(static_cast<std::size_t>(heads * length));
  const heed::view<float> lse_view(lse.data(), {1, heads, length, 1});
  for (index l = 0; l < layers; ++l) {
    const auto in = normed(x, attention_norm.data() + l * dim, dim);
    const auto q = product(in, wq.data() + l * dim * dim, dim, dim),
               k = product(in, wk.data() + l * kv * dim, kv, dim),
               v = product(in, wv.data() + l * kv * dim, kv, dim);
    const auto qs = by_heads(q.data(), heads), ks = by_heads(k.data(), kv_heads);
    heed::attend(spec, qs, ks, by_heads(v.data(), kv_heads),
                 {.out = by_heads(out.data(), heads), .lse = lse_view, .observe = watch(l)}, {},
                 scratch);
    after({l, qs, ks, lse_view});
    add(x, product(out, wo.data() + l * dim * dim, dim, dim));
    const auto ffn = normed(x, ffn_norm.data() + l * dim, dim);
    auto gate = product(ffn, w1.data() + l * hidden * dim, hidden, dim);
    const auto up = product(ffn, w3.data() + l * hidden * dim, hidden, dim);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    add(x, product(gate, w2.data() + l * dim * hidden, dim, hidden));
  }
  return product(normed(x, last_norm.data(), dim), classifier.data(), vocabulary, dim);
}

tokenizer tokenizer::read(const std::string& path, index vocabulary) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::int32_t longest, size;
  get(file, &longest, 1, path);
  tokenizer t;
  for (index i = 0; i < vocabulary; ++i) {
    float score;
    get(file, &score, 1, path);
    get(file, &size, 1, path);
    if (size < 0 || size > 1 << 16) throw std::runtime_error(path + " is no tokenizer");
    std::string piece(static_cast<std::size_t>(size), ' ');
    get(file, piece.data(), piece.size(), path);
    t.pieces.push_back(piece), t.scores.push_back(score);
  }
  return t;
}

std::vector<int> tokenizer::encode(const std::string& text) const {
  std::map<std::string, int> number;
  for (std::size_t i = 0; i < pieces.size(); ++i) number.emplace(pieces[i], static_cast<int>(i));
  std::vector<int> tokens;
  for (const char c : " " + text) {
    const auto found = number.find(std::string(1, c));
    // Bytes without a piece are tokens 3 to 258.
    tokens.push_back(found != number.end() ? found->second : static_cast<unsigned char>(c) + 3);
  }
  for (;;) {
    float best = -1e30f;
    std::size_t where = 0;
    int merged = -1;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found =
          number.find(pieces[std::size_t(tokens[i])] + pieces[std::size_t(tokens[i + 1])]);
      if (found != number.end() && scores[std::size_t(found->second)] > best)
        best = scores[std::size_t(found->second)], where = i, merged = found->second;
    }
    if (merged < 0) break;
    tokens[where] = merged;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  tokens.insert(tokens.begin(), 1);
  return tokens;
}

}  // namespace sinks
