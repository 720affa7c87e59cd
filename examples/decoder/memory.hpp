// SPDX-License-Identifier: BSL-1.0
// What a layer remembers of the text, in one of heed's caches, and attention over it.
//
//   kind         keeps                                   keys lie in the cache
//   contiguous   every token, one block                  turned to their position in the text
//   paged        every token, pages from a pool          the same
//   ring         the last `window` tokens                the same
//   streaming    the first `sinks` and the last tokens   as they come, turned by place in the cache
//
// A turned key serves every later query as it lies. Streaming numbers its tokens anew with each
// that it forgets, so that no position goes beyond the trained length however long the text gets.
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/ring.hpp>
#include <heed/kv/streaming.hpp>
#include <variant>

#include "block.hpp"

namespace decoder {

enum class cache_kind { contiguous, paged, ring, streaming };

struct cache_plan {
  cache_kind kind = cache_kind::contiguous;
  heed::kv_format format{};  // see heed/kv/quantized.hpp
  index capacity = 0;        // contiguous, paged: tokens of the text; 0: the trained length
  index page = 16;           // paged: tokens of a page
  index window = 0;          // tokens that one sees, itself included; 0: the trained length
  index sinks = 4;           // streaming: how many of them are the first ones
  index chunk = 64;          // tokens that are read at once, at most

  // The numbers left open follow from the model. Throws if a cache cannot be as asked for.
  cache_plan of(const shape& s) const {
    cache_plan p = *this;
    if (p.capacity == 0) p.capacity = s.context;
    if (p.window == 0) p.window = s.context;
    const bool streams = p.kind == cache_kind::streaming;
    if (p.capacity < 1 || p.page < 1 || p.window < 1 || p.sinks < 0 || p.chunk < 1)
      throw std::runtime_error("sizes of a cache must be positive");
    if (streams && p.sinks >= p.window)
      throw std::runtime_error(std::to_string(p.sinks) + " sinks leave nothing of a window of " +
                               std::to_string(p.window));
    // The first row of a chunk must still be there when the last one is. What those after it push
    // out, it does not see.
    if (streams) p.chunk = std::min(p.chunk, p.window - p.sinks);
    return p;
  }
};

using any_cache =
    std::variant<heed::contiguous_kv, heed::paged_kv, heed::ring_kv, heed::streaming_kv>;

// One sequence. Of a chunk the last row sees `window` tokens and so does the first one: a ring
// keeps the tokens of both.
inline any_cache cache_of(const shape& s, const cache_plan& p) {
  const heed::kv_shape rows{
      .batch = 1, .heads = s.kv_heads, .depth = s.depth(), .value_depth = s.depth()};
  switch (p.kind) {
    case cache_kind::paged:
      return heed::paged_kv(rows, {.pages = (p.capacity + p.page - 1) / p.page, .page = p.page},
                            p.format);
    case cache_kind::ring:
      return heed::ring_kv(rows, {.window = p.window + p.chunk - 1}, p.format);
    case cache_kind::streaming:
      return heed::streaming_kv(rows, {.first = p.sinks, .window = p.window - p.sinks}, p.format);
    default:
      return heed::contiguous_kv(rows, p.capacity, p.format);
  }
}

class memory {
 public:
  memory(const model<float>& m, const layer_layout& at, const cache_plan& plan)
      : cache_(cache_of(m.shape, plan)) {
    const heed::rope turn{heed::rotations::plain(m.shape.depth()), heed::rope_pairs::interleaved};
    const heed::sink_softmax softmax{std::span<const float>(
        m.parameters.data() + at.sinks.first, static_cast<std::size_t>(m.shape.heads))};
    over_turned_ = {.mask = {.left = plan.window - 1}, .normalizer = softmax, .query = turn};
    over_plain_ = {.normalizer = softmax, .query = turn, .key = turn};
  }

  // Rows that follow what was read: remembers k and v, then attends. Turns k where it lies.
  void read(const qkv_views<float>& x, const heed::view<float>& out, heed::executor_ref executor,
            heed::workspace& scratch) {
    const bool streams = std::holds_alternative<heed::streaming_kv>(cache_);
    if (!streams) turn(x.k);
    std::visit(
        [&](auto& cache) {
          cache.append(x.k, x.v);
          // Without its type, so that the kinds share the code of attention.
          const heed::kv_ref kept(cache);
          if (streams)
            heed::attend(over_plain_, x.q, kept, out, executor, scratch);
          else
            heed::attend(over_turned_, x.q, kept, out, executor, scratch);
        },
        cache_);
    length_ += x.k.extent[2];
  }

  std::size_t bytes() const {
    return std::visit([](const auto& cache) { return cache.bytes(); }, cache_);
  }

 private:
  void turn(const heed::view<float>& k) const {
    for (index h = 0; h < k.extent[1]; ++h)
      over_turned_.query.rows<heed::simd::best>(&k(0, h, 0), k.stride[2], k.extent[2], k.extent[3],
                                                {0, h, length_, 0});
  }

  any_cache cache_;
  index length_ = 0;
  decltype(heed::attention{.mask = heed::window{},
                           .normalizer = heed::sink_softmax{},
                           .query = heed::rope{}}) over_turned_;
  decltype(heed::attention{.mask = heed::window{},
                           .normalizer = heed::sink_softmax{},
                           .query = heed::rope{},
                           .key = heed::rope{}}) over_plain_;
};

}  // namespace decoder
