// SPDX-License-Identifier: BSL-1.0
// Models of llama2.c (its first format): seven sizes, then f32 tensors, each for all layers.
#pragma once

#include <limits>

#include "file.hpp"

namespace decoder {

inline model<float> load_llama2c(bytes data, const std::string& name) {
  detail::reader from(data, name);
  std::int32_t sizes[7];
  from.get(sizes, 7);
  // Width, hidden, layers, heads, kv heads, vocabulary (negative: a classifier of its own),
  // context.
  shape s{.width = sizes[0],
          .hidden = sizes[1],
          .layers = sizes[2],
          .heads = sizes[3],
          .kv_heads = sizes[4],
          .vocabulary = sizes[5] < 0 ? -index{sizes[5]} : sizes[5],
          .context = sizes[6],
          .tied = sizes[5] > 0};
  detail::checked(s, from);
  const layout plan(s);
  const index sinks = s.layers * s.heads, turns = s.context * s.depth();
  from.expect(static_cast<std::size_t>(plan.size - sinks + turns) * sizeof(float));

  model<float> m(s);
  const auto fill = [&](const slice& to, index first, index rows) {
    from.get(m.parameters.data() + to.first + first * to.columns,
             static_cast<std::size_t>(rows * to.columns));
  };
  const auto each = [&](slice layer_layout::* what, index first = 0, index rows = -1) {
    for (const layer_layout& l : m.layout.layers) {
      const slice& to = l.*what;
      fill(to, first, rows < 0 ? to.rows : rows);
    }
  };
  const index q = s.width, kv = s.kv_heads * s.depth();
  fill(m.layout.embedding, 0, s.vocabulary);
  each(&layer_layout::attention_norm);
  each(&layer_layout::qkv, 0, q);
  each(&layer_layout::qkv, q, kv);
  each(&layer_layout::qkv, q + kv, kv);
  each(&layer_layout::output);
  each(&layer_layout::mlp_norm);
  each(&layer_layout::gate_up, 0, s.hidden);
  each(&layer_layout::down);
  each(&layer_layout::gate_up, s.hidden, s.hidden);
  fill(m.layout.norm, 0, 1);
  buffer<float> unused(static_cast<std::size_t>(turns));  // cosines and sines: `rope` has its own
  from.get(unused);
  if (!s.tied) fill(m.layout.classifier, 0, s.vocabulary);
  // Softmax without a sink.
  for (const layer_layout& l : m.layout.layers)
    at(m.parameters, l.sinks).setConstant(-std::numeric_limits<float>::infinity());
  return m;
}

}  // namespace decoder
