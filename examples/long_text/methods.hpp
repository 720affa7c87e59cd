// SPDX-License-Identifier: BSL-1.0
// Ways to attend to few of the keys, each against full attention of the same layer.
#pragma once

#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/plan/selected.hpp>
#include <heed/select/moba.hpp>
#include <heed/select/nsa_attend.hpp>
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

// Pairs of queries and keys on their lists, causally.
inline double visited(const layer& l, const heed::block_lists& lists) {
  double pairs = 0;
  for (index h = 0; h < l.x.q.extent[1]; ++h)
    for (index i = 0; i < l.x.q.extent[2]; ++i)
      for (const int block : lists(0, h, i))
        pairs += double(std::min(lists.keys, i + 1 - block * lists.keys));
  return pairs;
}

inline result mixture_of_blocks(const layer& l, const heed::moba& spec) {
  heed::block_selection chosen = heed::select_moba(spec, l.x.q, l.x.k, l.executor);
  const double choosing =
      seconds([&] { chosen = heed::select_moba(spec, l.x.q, l.x.k, l.executor); });
  const heed::block_lists lists = chosen.lists();
  result r = l.under(heed::selected{lists, heed::causal{}});
  r.choosing = choosing, r.seconds += choosing;
  r.pairs = visited(l, lists);
  r.pairs /= l.full.pairs();
  return r;
}

// What NSA looks at: chosen blocks and a window. Its own result weighs three branches by gates that
// a model learns; keys and error are those of one softmax over the keys that it looks at, the time
// is that of all branches.
inline result native_sparse(const layer& l, const heed::nsa& spec) {
  const heed::extents &q = l.x.q.extent, &k = l.x.k.extent;
  rows kc(k[1], spec.compressed(k[2]), k[3]), vc = kc, gates(q[1], q[2], 3), out(q[1], q[2], k[3]);
  heed::nsa_state<float> state;
  const auto call = [&] {
    heed::compress_mean(spec, l.x.k, kc.view(), l.executor);
    heed::compress_mean(spec, l.x.v, vc.view(), l.executor);
    heed::attend_nsa(spec, {l.x.q, l.x.k, l.x.v, kc.view(), vc.view(), gates.view()}, out.view(),
                     state, l.executor, l.scratch);
  };
  call();
  const double whole = seconds(call);
  const heed::view<const float> lse(state.lse[0].data(), {1, q[1], q[2], 1});
  const double choosing = seconds([&] {
    state.chosen = heed::select_nsa(spec, l.x.q, kc.view(), lse, 1 / std::sqrt(double(q[3])), k[2],
                                    l.executor);
  });
  const auto seen = heed::selected{state.chosen.lists(), heed::causal{}} ||
                    heed::window{.left = spec.window - 1, .right = 0};
  result r = l.under(seen);
  r.seconds = whole, r.choosing = choosing;
  const heed::compressed_past past{spec.block, spec.stride};
  for (index i = 0; i < q[2]; ++i)
    r.pairs += double(q[1]) * double(past.seen(i) + std::min(i + 1, spec.window));
  r.pairs += visited(l, state.chosen.lists());
  r.pairs /= l.full.pairs();
  return r;
}

// f(name, result of the layer).
template <class F> void each_method(const layer& l, const options& o, F f) {
  f("window of " + std::to_string(o.top * o.block), window(l, o.top * o.block));
  f(named(o.coarse()), mixture_of_blocks(l, o.coarse()));
  f(named(o.fine()), mixture_of_blocks(l, o.fine()));
  f("nsa", native_sparse(l, o.native()));
}

}  // namespace long_text
