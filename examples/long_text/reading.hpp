// SPDX-License-Identifier: BSL-1.0
// Queries, keys and values that a trained decoder has for a text much longer than its context.
//
// Each layer reads the rows that the model makes with the window it was trained with. Its queries
// and keys are then turned for the whole text, with positions stretched (YaRN) or as they are.
#pragma once

#include "../decoder/block.hpp"
#include "options.hpp"

namespace long_text {

inline heed::rope turn_of(const decoder::shape& s, index length, stretch how) {
  const double factor = double(length) / double(s.context);
  const index d = s.depth();
  return {how == stretch::plain || factor <= 1
              ? heed::rotations::plain(d)
              : heed::rotations::yarn(d, 10000, factor, double(s.context)),
          heed::rope_pairs::interleaved};
}

inline void turn(const heed::rope& by, const heed::view<float>& rows) {
  for (index h = 0; h < rows.extent[1]; ++h)
    by.rows<heed::simd::best>(&rows(0, h, 0), rows.stride[2], rows.extent[2], rows.extent[3],
                              {0, h, 0, 0});
}

// study(views of turned q and k and of v, sinks of the heads).
template <class Study>
void read(const decoder::model<float>& m, std::span<const std::int32_t> tokens, stretch how,
          heed::executor_ref executor, Study study) {
  const auto length = static_cast<index>(tokens.size());
  const heed::rope turned = turn_of(m.shape, length, how);
  decoder::layer_rows<float> a;
  a.resize(m.shape, length);
  decoder::matrix<float> next;
  decoder::embed<float>(m, tokens, a.x);
  heed::workspace scratch;
  for (std::size_t l = 0; l < m.layout.layers.size(); ++l) {
    const decoder::layer_layout& at = m.layout.layers[l];
    decoder::before_attention(m, at, a);
    const decoder::qkv_views<float> x(m.shape, a.qkv.data(), 1, length);
    heed::attend(decoder::attention_of(m, at), x.q, x.k, x.v,
                 decoder::head_view(m.shape, a.attended.data(), 1, length), executor, scratch);
    turn(turned, x.q), turn(turned, x.k);
    study(x, std::span<const float>(m.parameters.data() + at.sinks.first,
                                    static_cast<std::size_t>(m.shape.heads)));
    decoder::after_attention(m, at, a, next);
    a.x.swap(next);
  }
}

}  // namespace long_text
