// SPDX-License-Identifier: BSL-1.0
// What stands around scaled_dot_product_attention and flex_attention in a decoder: rotary
// positions and caches.
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/mask/causal.hpp>
#include <heed/position/rope.hpp>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;

// Rows of x [B,H,L,16] as a model in PyTorch turns them, the first row at position `first`.
tensor<4> turned(const tensor<4>& x, Eigen::Index first) {
  tensor<4> y(x.dimensions());
  for (Eigen::Index b = 0; b < x.dimension(0); ++b)
    for (Eigen::Index h = 0; h < x.dimension(1); ++h)
      for (Eigen::Index l = 0; l < x.dimension(2); ++l)
        for (Eigen::Index c = 0; c < 8; ++c) {
          const double angle = double(first + l) * std::pow(10000.0, -double(c) / 8);
          const float cosine = float(std::cos(angle)), sine = float(std::sin(angle));
          y(b, h, l, c) = x(b, h, l, c) * cosine - x(b, h, l, c + 8) * sine;
          y(b, h, l, c + 8) = x(b, h, l, c + 8) * cosine + x(b, h, l, c) * sine;
        }
  return y;
}

void rotary() {
  inputs x;
  auto& [q, k, v, out] = x;

  // [sdpa_rope]
  // q, k = apply_rotary_pos_emb(q, k, cos, sin): done while rows are packed. Channels c and c + 8
  // turn together; those of rope_pairs::interleaved are 2c and 2c + 1.
  const heed::rope turn{heed::rotations::plain(16)};
  const heed::attention spec{.mask = heed::causal{}, .query = turn, .key = turn};
  heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/sdpa_rope]

  const tensor<4> found = out;
  q = turned(q, 10), k = turned(k, 0);
  x.check("sdpa_rope", heed::attention{.mask = heed::causal{}}, found);
}

void cached() {
  const Eigen::Index steps = 30;
  inputs x(steps);
  auto& [q, k, v, out] = x;
  const tensor<4> plain_k = k;
  // Token t of [B,H,L,D]: a view of it.
  const auto token = [](auto& y, Eigen::Index t) {
    auto one = as<"BHLD">(y);
    one.data += t * one.stride[2];
    one.extent[2] = 1;
    return one;
  };

  // [sdpa_cache]
  // past_k = torch.cat([past_k, k_t], dim=2), and so for v: nothing is copied twice.
  const heed::rope turn{heed::rotations::plain(16)};
  const heed::attention decoder{.mask = heed::causal{}, .query = turn};
  heed::contiguous_kv cache({.batch = 2, .heads = 2, .depth = 16, .value_depth = 16}, 4096);
  for (Eigen::Index t = 0; t < steps; ++t) {
    auto k_t = token(k, t);  // [B,Hkv,1,D]
    for (Eigen::Index b = 0; b < 2; ++b)
      for (Eigen::Index h = 0; h < 2; ++h)
        turn.row<heed::simd::best>(&k_t(b, h, 0), 16, {.b = b, .h = h, .pos = t});
    cache.append(k_t, token(v, t));
    heed::attend(decoder, token(q, t), cache, token(out, t));
  }
  // [/sdpa_cache]
  const heed::attention both{.mask = heed::causal{}, .query = turn, .key = turn};
  tensor<4> expected(2, 4, 30, 16);
  heed::reference::attend(both, as<"BHLD">(q), as<"BHLD">(plain_k), as<"BHLD">(v),
                          as<"BHLD">(expected));
  report("sdpa_cache", difference(out, expected));

  // [sdpa_cache_int8]
  // A quarter of the bytes, one scale a token. A prompt goes in at once.
  heed::contiguous_kv small({.batch = 2, .heads = 2, .depth = 16, .value_depth = 16}, 4096,
                            heed::kv_as::int8());
  small.append(as<"BHLD">(k), as<"BHLD">(v));
  heed::attend(decoder, as<"BHLD">(q), small, as<"BHLD">(out));
  // [/sdpa_cache_int8]
  // kv/quantized.hpp: numbers up to √2 have scales of √2/127, half of which a code may be off;
  // scores are then off by d = √2 Σ abs q / 254 / 4 <= 0.032 (q turned), and a row by 2d + 1/254.
  report("sdpa_cache_int8", difference(out, expected), 0.07f);
}

void paged() {
  inputs x;
  auto& [q, k, v, out] = x;

  // [flex_paged]
  heed::paged_kv cache({.batch = 2, .heads = 2, .depth = 16, .value_depth = 16},
                       {.pages = 64, .page = 8, .table = 16});
  cache.append(as<"BHLD">(k), as<"BHLD">(v));
  heed::attend(heed::attention{.mask = heed::causal{}}, as<"BHLD">(q), cache, as<"BHLD">(out));
  // [/flex_paged]
  x.check("flex_paged", heed::attention{.mask = heed::causal{}}, out);
}

}  // namespace

void decoder() {
  rotary();
  cached();
  paged();
}

}  // namespace guide
