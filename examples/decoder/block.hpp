// SPDX-License-Identifier: BSL-1.0
// One layer: x + attention(norm(x)), then that + SwiGLU(norm(that)). The parts around attention.
#pragma once

#include <heed/attention/spec.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/position/rope.hpp>

#include "rows.hpp"

namespace decoder {

// The rows of every stage of a layer; training keeps them for the backward pass.
template <class T> struct layer_rows {
  matrix<T> x, normed, qkv, attended, middle, normed_again, gate_up, hidden;
  buffer<T> lse;

  void resize(const shape& s, index rows) {
    for (matrix<T>* m : {&x, &normed, &attended, &middle, &normed_again}) m->resize(rows, s.width);
    qkv.resize(rows, s.qkv());
    gate_up.resize(rows, 2 * s.hidden);
    hidden.resize(rows, s.hidden);
    lse.resize(static_cast<std::size_t>(rows * s.heads));
  }
};

// Grouped causal softmax with a learned sink a head; q and k turn while they are packed. The window
// lets a text grow beyond the context that the model was trained with.
template <class T> auto attention_of(const model<T>& m, const layer_layout& at) {
  const heed::rope turn{heed::rotations::plain(m.shape.depth()), heed::rope_pairs::interleaved};
  const std::span<const T> sinks(m.parameters.data() + at.sinks.first,
                                 static_cast<std::size_t>(m.shape.heads));
  return heed::attention{.mask = heed::window{.left = m.shape.context - 1},
                         .normalizer = heed::sink_softmax{sinks},
                         .query = turn,
                         .key = turn};
}

template <class T>
void before_attention(const model<T>& m, const layer_layout& at, layer_rows<T>& a) {
  rms_norm<T>(a.x, m[at.attention_norm], a.normed);
  a.qkv.noalias() = a.normed * m[at.qkv].transpose();
}

template <class T>
void after_attention(const model<T>& m, const layer_layout& at, layer_rows<T>& a, matrix<T>& next) {
  a.middle = a.x;
  a.middle.noalias() += a.attended * m[at.output].transpose();
  rms_norm<T>(a.middle, m[at.mlp_norm], a.normed_again);
  a.gate_up.noalias() = a.normed_again * m[at.gate_up].transpose();
  swiglu<T>(a.gate_up, a.hidden);
  next = a.middle;
  next.noalias() += a.hidden * m[at.down].transpose();
}

// Views of [batch · length, (heads + 2 kv_heads) · depth] rows.
template <class T> struct qkv_views {
  heed::view<T> q, k, v;
  qkv_views(const shape& s, T* rows, index batch, index length) {
    const index d = s.depth(), row = s.qkv();
    const heed::extents stride{length * row, d, row, 1};
    q = {rows, {batch, s.heads, length, d}, stride};
    k = {rows + s.heads * d, {batch, s.kv_heads, length, d}, stride};
    v = {k.data + s.kv_heads * d, k.extent, stride};
  }
};

// Rows [batch · length, heads · depth].
template <class T> heed::view<T> head_view(const shape& s, T* rows, index batch, index length) {
  return {rows, {batch, s.heads, length, s.depth()}, {length * s.width, s.depth(), s.width, 1}};
}

template <class T>
void embed(const model<T>& m, std::span<const std::int32_t> tokens, matrix<T>& x) {
  const auto table = m[m.layout.embedding];
  for (index i = 0; i < x.rows(); ++i) x.row(i) = table.row(tokens[static_cast<std::size_t>(i)]);
}

}  // namespace decoder
