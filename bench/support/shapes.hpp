// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

using index = std::int64_t;

enum class masking { full, causal, window };

// One attention problem: queries [batch, heads, queries, dim], keys and values
// [batch, kv_heads, keys, dim]. `window` counts the keys a query may see, itself included.
struct shape {
  masking mask = masking::full;
  index batch = 1;
  index heads = 8;
  index kv_heads = 8;
  index queries = 512;
  index keys = 512;
  index dim = 64;
  index window = 0;
  int threads = 1;

  index query_size() const { return batch * heads * queries * dim; }
  index key_size() const { return batch * kv_heads * keys * dim; }
};

inline shape square(masking mask, index heads, index kv_heads, index dim, index length,
                    int threads) {
  return {.mask = mask,
          .heads = heads,
          .kv_heads = kv_heads,
          .queries = length,
          .keys = length,
          .dim = dim,
          .threads = threads};
}

inline shape on_threads(shape form, int threads) {
  form.threads = threads;
  return form;
}

namespace models {

// 32 query heads over 8 key heads of 128: the common 7B to 8B decoder layer.
inline shape decoder_8b(masking mask, index length, int threads) {
  return square(mask, 32, 8, 128, length, threads);
}

// ViT-B/16 at 224 pixels: 196 patches and the class token, batch of eight.
inline shape vit_base(int threads) {
  return {.batch = 8,
          .heads = 12,
          .kv_heads = 12,
          .queries = 197,
          .keys = 197,
          .dim = 64,
          .threads = threads};
}

// Cross attention of a latent diffusion model: 32 x 32 pixels over 77 words of text.
inline shape diffusion_cross(int threads) {
  return {.queries = 1024, .keys = 77, .threads = threads};
}

// `queries` new tokens on a cache of `keys`, in the same layer.
inline shape decoding(index keys, int threads, index queries = 1) {
  return {
      .heads = 32, .kv_heads = 8, .queries = queries, .keys = keys, .dim = 128, .threads = threads};
}

// A sliding-window decoder: causal, each query sees the last `window` keys.
inline shape sliding(index window, index length, int threads) {
  shape form = square(masking::window, 8, 8, 64, length, threads);
  form.window = window;
  return form;
}

}  // namespace models

// True where query `q` may see key `k`.
inline bool allowed(const shape& form, index q, index k) {
  switch (form.mask) {
    case masking::full:
      return true;
    case masking::causal:
      return k <= q;
    case masking::window:
      return k <= q && q - k < form.window;
  }
  return false;
}

// Query-key pairs that count as useful work in one head: causal is taken as half the square.
inline double useful_pairs(const shape& form) {
  const double all = static_cast<double>(form.queries) * static_cast<double>(form.keys);
  if (form.mask == masking::full) {
    return all;
  }
  if (form.mask == masking::causal) {
    return all / 2;
  }
  double pairs = 0;
  for (index q = 0; q < form.queries; ++q) {
    const index last = std::min(q, form.keys - 1);
    const index first = std::max<index>(0, q - form.window + 1);
    pairs += static_cast<double>(std::max<index>(0, last - first + 1));
  }
  return pairs;
}

inline double flops(const shape& form) {
  return 4 * useful_pairs(form) * static_cast<double>(form.dim * form.heads * form.batch);
}

inline std::string mask_name(const shape& form) {
  switch (form.mask) {
    case masking::full:
      return "full";
    case masking::causal:
      return "causal";
    case masking::window:
      return std::string("window") + std::to_string(form.window);
  }
  return {};
}

inline std::string heads_name(const shape& form) {
  std::string name = form.batch > 1 ? std::string("b") + std::to_string(form.batch) : std::string{};
  name += "h";
  name += std::to_string(form.heads);
  if (form.kv_heads != form.heads) {
    name.append("kv").append(std::to_string(form.kv_heads));
  }
  return name;
}

// heads/dim/length/threads, as `h32kv8/d128/n2048/t2`.
inline std::string size_name(const shape& form) {
  std::string name =
      heads_name(form) + "/d" + std::to_string(form.dim) + "/n" + std::to_string(form.queries);
  if (form.keys != form.queries) {
    name.append("x").append(std::to_string(form.keys));
  }
  return name + "/t" + std::to_string(form.threads);
}

// The same kind of problem, small enough that every row is checked in milliseconds.
inline shape shrink(shape form) {
  form.batch = std::min<index>(form.batch, 2);
  if (form.kv_heads < form.heads) {
    form.heads = 4;
    form.kv_heads = 2;
  } else {
    form.heads = form.kv_heads = std::min<index>(form.heads, 3);
  }
  const bool square = form.queries == form.keys;
  form.queries = std::min<index>(form.queries, 173);
  form.keys = square ? form.queries : std::min<index>(form.keys, form.queries > 8 ? 77 : 1111);
  form.window = std::min<index>(form.window, 37);
  return form;
}

}  // namespace bench
