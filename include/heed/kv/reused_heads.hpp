// SPDX-License-Identifier: BSL-1.0
// kv/reuse over heads (LycheeDecode): a full kv head looks at everything and lists what weighed
// most; another attends to the list of the same head one layer below, and passes it on.
//
//   reused_heads policy(tokens, full, layers, batch, kv_heads);    // full [layers][kv heads]
//   policy.each_run(layer, [&](span heads, bool full) {            // in every layer, from 0 up
//     const head_range some(cache, heads);
//     const auto q_some = heads_of(q, heads, group), out_some = heads_of(out, heads, group);
//     if (full) {
//       rows seen(newest, weights);                                // [B, heads · group, 1, N]
//       attend(spec, q_some, some, {.out = out_some, .observe = &seen});
//       policy.take(layer, heads, one_row(weights), cache);
//     } else {
//       attend(spec, q_some, selected_source(some, policy.lists(layer, heads, cache)), out_some);
//     }
//   });
//
// All heads of layer 0 must be full. Heads of one kind that are neighbours are one call. Refuses as
// kv/reused_layers.hpp does, and costs the same.
// LycheeDecode, Lin et al. 2026.
#pragma once

#include <heed/kv/head_range.hpp>
#include <heed/kv/listed_tokens.hpp>

namespace heed {

class reused_heads {
 public:
  reused_heads(index tokens, std::vector<char> full, index layers, index batch, index kv_heads)
      : full_(std::move(full)), layers_(layers), lists_(name, tokens, batch, kv_heads) {
    if (layers < 1 || index(full_.size()) % kv_heads != 0 ||
        index(full_.size()) / kv_heads != layers)
      check::fail(name, "there must be a kind for each of " + std::to_string(layers) +
                            " layers and " + std::to_string(kv_heads) + " kv heads, not " +
                            std::to_string(full_.size()));
    for (index h = 0; h < kv_heads; ++h)
      if (!full_[at(h)])
        check::fail(name, "heads of layer 0 must be full, not so head " + std::to_string(h));
    taken_.assign(at(kv_heads), -1);
  }

  index layers() const { return layers_; }
  bool full(index layer, index h) const { return full_[known(layer, h)] != 0; }
  // f(heads, full) for the longest runs of kv heads of one kind.
  template <class F> void each_run(index layer, const F& f) const {
    for (index h = 0, end; h < lists_.heads(); h = end) {
      for (end = h + 1; end < lists_.heads() && full(layer, end) == full(layer, h);) ++end;
      f(span{h, end}, full(layer, h));
    }
  }
  // After full heads; weights [B, H of these heads, N] and the source of all heads.
  template <kv_source Source>
  void take(index layer, span heads, const operand& mass, const Source& source) {
    for (index h = heads.begin; h < heads.end; ++h)
      if (!full(layer, h)) check::fail(name, head_name(layer, h) + " is not full");
    lists_.choose(heads, mass, source);
    for (index h = heads.begin; h < heads.end; ++h) taken_[at(h)] = layer;
  }
  // Lists of other heads, until the next call.
  template <kv_source Source> block_lists lists(index layer, span heads, const Source& source) {
    lists_.check_source(source);
    for (index h = heads.begin; h < heads.end; ++h) {
      index from = layer;
      while (!full(from, h)) --from;
      for (index b = 0; b < lists_.batch(); ++b)
        if (taken_[at(h)] != from || lists_.seen(b, h) != source.length(b))
          check::fail(name, head_name(from, h) + " must be taken in this step, before layer " +
                                std::to_string(layer));
    }
    return lists_.lists(heads);
  }

 private:
  static constexpr const char* name = "heed::reused_heads";
  static constexpr std::size_t at(index i) { return static_cast<std::size_t>(i); }
  static std::string head_name(index layer, index h) {
    return "layer " + std::to_string(layer) + " head " + std::to_string(h);
  }
  std::size_t known(index layer, index h) const {
    if (layer < 0 || layer >= layers_ || h < 0 || h >= lists_.heads())
      check::fail(name, "there are " + std::to_string(layers_) + " layers of " +
                            std::to_string(lists_.heads()) + " kv heads, no " +
                            head_name(layer, h));
    return at(layer * lists_.heads() + h);
  }

  std::vector<char> full_;  // [layers][kv heads]
  index layers_;
  listed_tokens lists_;
  std::vector<index> taken_;  // the layer that a head's list is of
};

}  // namespace heed
