// SPDX-License-Identifier: BSL-1.0
// Ways to attend to few of the keys, each against full attention of the same layer.
#pragma once

#include <heed/mask/window.hpp>
#include <heed/plan/selected.hpp>
#include <heed/select/moba.hpp>
#include <string>

#include "options.hpp"
#include "recall.hpp"

namespace long_text {

// One layer: what calls share.
struct layer {
  const decoder::qkv_views<float>& x;
  std::span<const float> sinks;
  const full_attention& full;
  heed::executor_ref executor;
  heed::workspace& scratch;

  template <class Mask> auto spec(const Mask& mask) const {
    return heed::attention{.mask = mask, .normalizer = heed::sink_softmax{sinks}};
  }
  // Attends under a mask twice, the second time for its time.
  template <class Mask> result under(const Mask& mask) const {
    rows out(x.q.extent[1], x.q.extent[2], x.v.extent[3]), lse(x.q.extent[1], x.q.extent[2], 1);
    const auto call = spec(mask);
    heed::attend(call, x.q, x.k, x.v, {.out = out.view(), .lse = lse.view()}, executor, scratch);
    result r;
    r.seconds = seconds([&] { heed::attend(call, x.q, x.k, x.v, out.view(), executor, scratch); });
    full.recall(
        lse,
        [&](index h, index i, index key) {
          return mask(heed::position{.h = h, .q = i, .k = key, .row = i, .slot = key});
        },
        r);
    r.error = full.error(out);
    return r;
  }
};

// The nearest `keys` of each query.
inline result window(const layer& l, index keys) {
  result r = l.under(heed::window{.left = keys - 1, .right = 0});
  const index length = l.x.q.extent[2];
  for (index i = 0; i < length; ++i) r.pairs += double(std::min(i + 1, keys));
  r.pairs *= double(l.x.q.extent[1]) / l.full.pairs();
  return r;
}

inline result mixture_of_blocks(const layer& l, const heed::moba& spec) {
  heed::block_selection chosen = heed::select_moba(spec, l.x.q, l.x.k, l.executor);
  const double choosing =
      seconds([&] { chosen = heed::select_moba(spec, l.x.q, l.x.k, l.executor); });
  const heed::block_lists lists = chosen.lists();
  result r = l.under(heed::selected{lists, heed::causal{}});
  r.choosing = choosing, r.seconds += choosing;
  const index length = l.x.q.extent[2];
  for (index h = 0; h < l.x.q.extent[1]; ++h)
    for (index i = 0; i < length; ++i)
      for (const int block : lists(0, h, i))
        r.pairs += double(std::min(spec.block, i + 1 - block * spec.block));
  r.pairs /= l.full.pairs();
  return r;
}

// f(name, result of the layer).
template <class F> void each_method(const layer& l, const options& o, F f) {
  f("window of " + std::to_string(o.top * o.block), window(l, o.top * o.block));
  f(named(o.coarse()), mixture_of_blocks(l, o.coarse()));
  f(named(o.fine()), mixture_of_blocks(l, o.fine()));
}

}  // namespace long_text
